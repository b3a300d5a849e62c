/* SPDX-License-Identifier: MIT */
#ifndef WORLD_H
#define WORLD_H

/*
 * The mailbox of a trial, who uses it, and a ledger: what was sent, who has it.
 * Messages of the trial itself bear numbers, from 0, and bodies that follow
 * from the number, so that a torn one shows.
 */

#include "harness.h"

#define VICTIMS_NUMBER 1000u
#define SLEEPERS_NUMBER 2000u	/* + index */
#define NUMBERS_MAX 256u
#define BODY_MAX_BYTES ((size_t)2 << 20)

enum from { FROM_NOBODY, FROM_HERE, FROM_VICTIM, FROM_SLEEPER };

extern struct tol_link *link_here, *link_victim;

/* The first number that was not taken, and those which were. */
extern uint64_t numbers_sent;
extern bool numbers_seen[NUMBERS_MAX];
extern int victims_seen;	/* messages of the victim */
extern bool may_come_late;	/* since somebody holds it meanwhile */

/* "box", with what the scenario says was passed and queued. */
void world_fill(void);
void world_nothing(void);

/* Sends the next number. It must fit. */
void put(void);

/* Takes one and writes it down; whole, known and in order, or it fails. */
enum from take_by(struct tol_link *link);
enum from take(void);

/* Takes all. @missing: how many of the numbers sent may be elsewhere */
void take_all_by(struct tol_link *link, int missing);
int count_missing(void);

/* Exactly the capacity fits, and comes out. Nothing is queued before. */
void check_usable(struct tol_link *link);

/* Several laps, sleepers, a clean, another mailbox: all goes on. */
void others_use_it(void);

struct tol_mailbox_stat look(void);
uint64_t control_word(void);

/* Bodies. */
void make_body(unsigned char *body, size_t size_bytes, uint64_t number);
bool is_body_of(const unsigned char *body, size_t size_bytes, uint64_t number);
unsigned char *scratch(void);		/* [BODY_MAX_BYTES + 8] bytes */

/* Those who sleep, by index; on return they do. */
void start_sleeping_receiver(int index);
void start_sleeping_sender(int index);

/* The same, outside of a call: in poll() on a descriptor, or in tol_wait(). */
void start_polling_receiver(int index);
void start_waiting_receiver(int index);
void start_polling_sender(int index);

/* Waits for its end without touching the mailbox. Return: of its call */
int64_t end_sleeper(int index);

/* Prepare, and operations of victims. */
int open_victim(void);
void op_send(void);		/* NOWAIT */
void op_recv(void);
void op_send_forever(void);
void op_recv_forever(void);
void op_remove(void);
void op_open(void);
void receive_as_victim(int64_t timeout_ns);
void note_what_came(void);	/* after a receive */

/* After a kill: a newcomer takes all there is. Return: did it happen? */
bool check_send(void);
bool check_recv(void);

/* The same, with one who sleeps and has to be woken by nobody else. */
bool check_send_to_sleeper(void);
bool check_recv_before_sleeper(void);

/* The next operation gives the wake that the stopped one owes. */
void others_wake_receiver(void);
void others_wake_sender(void);

/* After a stop: its call ended rightly; others left a message for it. */
void resumed_send(void);
void others_leave_one(void);
void resumed_recv(void);

int64_t now_ns(void);

/* Where the trial waits, if it hangs. */
void waiting_for(const char *what);

/* Waits until that many have been sent, or received, since it was made. */
void await_sent(uint64_t count);
void await_received(uint64_t count);

bool is_name_gone(void);
bool is_removing(void);

/* Kills a process that does @op, at the first system call after @is_so. */
void leave_dead(void (*op)(void), bool (*is_so)(void));

#endif
