/* SPDX-License-Identifier: GPL-2.0 */
/* What entry.c, glue.rs and a front (livepatch.c) need of each other. */
#ifndef RUST_KMOD_FRONT_H
#define RUST_KMOD_FRONT_H

#include <linux/types.h>

/* entry.c: replaces __request_module(). */
__printf(2, 3) int rust_kmod_request_module(bool wait, const char *fmt, ...);

/* glue.rs */
int rust_kmod_init(const char *policy, size_t length, bool killable, u8 earlier, bool errors);
int rust_kmod_request(bool wait, char *name, int length, unsigned long ip);

/* The front: what the kernel does not export, and what differs between a module and the kernel itself. */
char *rust_kmod_path(void);
bool rust_kmod_is_async(void);
int rust_kmod_security(char *name);
void rust_kmod_trace(char *name, bool wait, unsigned long ip);
void rust_kmod_hold(void);
void rust_kmod_release(void);

#endif
