/* SPDX-License-Identifier: MIT */
#ifndef WAITING_H
#define WAITING_H

/* Of waiting.c, for victims whose time passes when they have slept. */
int open_with_fake_clock(void);
void op_send_timed(void);	/* a second */
void op_recv_timed(void);

#endif
