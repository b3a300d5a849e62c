/* SPDX-License-Identifier: MIT */
/*
 * JSON into a buffer. A string is written only if it is valid UTF-8; bytes
 * that are not go out as base64 under a key that says so.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

static int in_range(unsigned char c, unsigned int low, unsigned int high)
{
	return c >= low && c <= high;
}

/* The table of well-formed byte sequences of the Unicode standard (3-7). */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
	size_t size, i;
	unsigned int low = 0x80, high = 0xbf;

	if (p[0] < 0x80)
		return 1;
	if (in_range(p[0], 0xc2, 0xdf))
		size = 2;
	else if (in_range(p[0], 0xe0, 0xef))
		size = 3;
	else if (in_range(p[0], 0xf0, 0xf4))
		size = 4;
	else
		return 0;
	if (size > left)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;	/* else a shorter form exists */
	else if (p[0] == 0xed)
		high = 0x9f;	/* else a surrogate */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;	/* else above U+10FFFF */
	if (!in_range(p[1], low, high))
		return 0;
	for (i = 2; i < size; i++)
		if (!in_range(p[i], 0x80, 0xbf))
			return 0;
	return size;
}

int utf8_is_valid(const void *data, size_t size_bytes)
{
	const unsigned char *p = data;
	size_t at = 0, n;

	while (at < size_bytes) {
		n = utf8_sequence(p + at, size_bytes - at);
		if (n == 0)
			return 0;
		at += n;
	}
	return 1;
}

static void put(struct json *json, const void *data, size_t size_bytes)
{
	if (json->error == 0)
		json->error = buffer_add(json->out, data, size_bytes);
}

static void put_text(struct json *json, const char *text)
{
	put(json, text, strlen(text));
}

static void comma(struct json *json)
{
	if (json->has_previous)
		put_text(json, ",");
	json->has_previous = 1;
}

void json_open(struct json *json, char bracket)
{
	comma(json);
	put(json, &bracket, 1);
	json->has_previous = 0;
}

void json_close(struct json *json, char bracket)
{
	put(json, &bracket, 1);
	json->has_previous = 1;
}

void json_key(struct json *json, const char *key)
{
	comma(json);
	put_text(json, "\"");
	put_text(json, key);
	put_text(json, "\":");
	json->has_previous = 0;
}

void json_u64(struct json *json, uint64_t value)
{
	char digits[24], *p = digits + sizeof(digits);

	do {
		*--p = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	comma(json);
	put(json, p, (size_t)(digits + sizeof(digits) - p));
}

void json_i64(struct json *json, int64_t value)
{
	if (value >= 0) {
		json_u64(json, (uint64_t)value);
		return;
	}
	comma(json);
	put_text(json, "-");
	json->has_previous = 0;
	json_u64(json, 0 - (uint64_t)value);
}

void json_bool(struct json *json, int value)
{
	comma(json);
	put_text(json, value ? "true" : "false");
}

void json_null(struct json *json)
{
	comma(json);
	put_text(json, "null");
}

/* A string; @data must be valid UTF-8. */
void json_bytes(struct json *json, const void *data, size_t size_bytes)
{
	static const char hex[] = "0123456789abcdef";
	const char *p = data;
	size_t at, from = 0;

	comma(json);
	put_text(json, "\"");
	for (at = 0; at < size_bytes; at++) {
		unsigned char c = (unsigned char)p[at];
		char escape[6] = { '\\', 'u', '0', '0' };
		size_t n = 2;

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		switch (c) {
		case '\n': escape[1] = 'n'; break;
		case '\r': escape[1] = 'r'; break;
		case '\t': escape[1] = 't'; break;
		case '"': case '\\': escape[1] = (char)c; break;
		default:
			escape[4] = hex[c >> 4];
			escape[5] = hex[c & 15];
			n = 6;
		}
		put(json, p + from, at - from);
		put(json, escape, n);
		from = at + 1;
	}
	if (size_bytes != from)
		put(json, p + from, size_bytes - from);
	put_text(json, "\"");
}

void json_base64(struct json *json, const void *data, size_t size_bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = data;
	size_t at;

	comma(json);
	put_text(json, "\"");
	for (at = 0; at < size_bytes; at += 3) {
		size_t left = size_bytes - at;
		unsigned int v = (unsigned int)p[at] << 16;
		char four[4];

		if (left > 1)
			v |= (unsigned int)p[at + 1] << 8;
		if (left > 2)
			v |= (unsigned int)p[at + 2];
		four[0] = digits[v >> 18];
		four[1] = digits[v >> 12 & 63];
		four[2] = left > 1 ? digits[v >> 6 & 63] : '=';
		four[3] = left > 2 ? digits[v & 63] : '=';
		put(json, four, 4);
	}
	put_text(json, "\"");
}

/* "key":"text", or "key_base64":"..." if it is not UTF-8. */
void json_text_or_base64(struct json *json, const char *key, const void *data,
			 size_t size_bytes)
{
	if (utf8_is_valid(data, size_bytes)) {
		json_key(json, key);
		json_bytes(json, data, size_bytes);
		return;
	}
	comma(json);
	put_text(json, "\"");
	put_text(json, key);
	put_text(json, "_base64\":");
	json->has_previous = 0;
	json_base64(json, data, size_bytes);
}

void json_key_u64(struct json *json, const char *key, uint64_t value)
{
	json_key(json, key);
	json_u64(json, value);
}

void json_key_i64(struct json *json, const char *key, int64_t value)
{
	json_key(json, key);
	json_i64(json, value);
}

void json_key_capacity(struct json *json, const char *key, uint64_t msgs)
{
	if (msgs != TOL_CAPACITY_UNBOUNDED) {
		json_key_u64(json, key, msgs);
		return;
	}
	json_key(json, key);
	json_null(json);
}

void json_key_bool(struct json *json, const char *key, int value)
{
	json_key(json, key);
	json_bool(json, value);
}

void json_key_text(struct json *json, const char *key, const char *text)
{
	json_text_or_base64(json, key, text, strlen(text));
}

void json_key_seconds(struct json *json, const char *key, int64_t ns)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%" PRId64 ".%06" PRId64,
			 ns / 1000000000, ns % 1000000000 / 1000);

	json_key(json, key);
	comma(json);
	put(json, text, (size_t)n);
}

/* As four octal digits in a string, the way chmod takes it. */
void json_key_mode(struct json *json, const char *key, mode_t mode)
{
	char text[5];
	int i;

	for (i = 0; i < 4; i++)
		text[i] = (char)('0' + (mode >> (9 - 3 * i) & 7));
	text[4] = '\0';
	json_key_text(json, key, text);
}
