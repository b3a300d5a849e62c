/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const unsigned char *image;
static uint64_t bias;		/* of a program that is not at its own place */

static const Elf64_Ehdr *head(void)
{
	struct stat st;
	int fd;

	if (image)
		return (const void *)image;
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (image == MAP_FAILED) {
		image = NULL;
		return NULL;
	}
	if (((const Elf64_Ehdr *)(const void *)image)->e_type == ET_DYN)
		bias = getauxval(AT_ENTRY) -
		       ((const Elf64_Ehdr *)(const void *)image)->e_entry;
	return (const void *)image;
}

static const Elf64_Shdr *find_symbols(const Elf64_Ehdr *h)
{
	const Elf64_Shdr *sections = (const void *)(image + h->e_shoff);

	for (unsigned int i = 0; i < h->e_shnum; i++)
		if (sections[i].sh_type == SHT_SYMTAB)
			return &sections[i];
	return NULL;
}

const char *names_function(uint64_t address, uint64_t *ret_offset)
{
	const Elf64_Ehdr *h = head();
	const Elf64_Shdr *table = h ? find_symbols(h) : NULL;
	const Elf64_Shdr *sections;
	const Elf64_Sym *symbols;
	const char *strings;

	*ret_offset = address;
	if (!table)
		return "?";
	sections = (const void *)(image + h->e_shoff);
	symbols = (const void *)(image + table->sh_offset);
	strings = (const char *)image + sections[table->sh_link].sh_offset;
	for (size_t i = table->sh_size / sizeof(*symbols); i--;) {
		uint64_t first = symbols[i].st_value + bias;
		unsigned int type = ELF64_ST_TYPE(symbols[i].st_info);

		if ((type != STT_FUNC && type != STT_GNU_IFUNC) ||
		    address < first || address >= first + symbols[i].st_size)
			continue;
		*ret_offset = address - first;
		return strings + symbols[i].st_name;
	}
	return "outside";
}

bool names_is_kernels(uint64_t address)
{
	uintptr_t start = getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *h = (const void *)start;
	const Elf64_Phdr *parts;

	if (!start)
		return false;
	parts = (const void *)(start + h->e_phoff);
	for (unsigned int i = 0; i < h->e_phnum; i++)
		if (parts[i].p_type == PT_LOAD &&
		    address - start < parts[i].p_vaddr + parts[i].p_memsz)
			return true;
	return false;
}

void names_line(uint64_t address, char *buf, size_t size_bytes)
{
	char command[4200], path[4096], last[4096] = "";
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	const char *line;
	FILE *pipe;

	buf[0] = '\0';
	if (!head() || length < 0 || memchr(path, '\'', (size_t)length))
		return;
	path[length] = '\0';
	snprintf(command, sizeof(command), "addr2line -ie '%s' 0x%llx 2>&-",
		 path, (unsigned long long)(address - bias));
	pipe = popen(command, "r");
	if (!pipe)
		return;
	/* The last of them is in the function itself, not inlined into it. */
	while (fgets(path, sizeof(path), pipe))
		strcpy(last, path);
	pclose(pipe);
	last[strcspn(last, " \n")] = '\0';
	line = strstr(last, "/src/");
	if (!line)
		line = strstr(last, "/tests/");
	if (last[0] && last[0] != '?')
		snprintf(buf, size_bytes, "%s", line ? line + 1 : last);
}
