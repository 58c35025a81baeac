// SPDX-License-Identifier: GPL-2.0
/*
 * The entry of a request. It is in C because it is variadic and reads its return address; everything else of a request is
 * in glue.rs and in the request core.
 */
#include <linux/bug.h>
#include <linux/instruction_pointer.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "front.h"

int rust_kmod_request_module(bool wait, const char *fmt, ...)
{
	char name[MODULE_NAME_LEN];
	unsigned long ip = _RET_IP_;
	va_list args;
	int length;

	/* A synchronous request of an asynchronous function would wait for itself. */
	WARN_ON_ONCE(wait && rust_kmod_is_async());

	va_start(args, fmt);
	length = vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	return rust_kmod_request(wait, name, length, ip);
}
