// SPDX-License-Identifier: GPL-2.0
/*
 * The front of a live patch: replaces __request_module() of a running kernel, and gives the rest what that kernel does not
 * export. It is in C because the kernel crate has no abstraction of live patches.
 */
#include <linux/errno.h>
#include <linux/kprobes.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#include "front.h"

static char *policy = "stock";
module_param(policy, charp, 0444);
MODULE_PARM_DESC(policy, "what happens at the limit: stock, reject, reject-2.4 or ancestry");

static bool killable;
module_param(killable, bool, 0444);
MODULE_PARM_DESC(killable, "whether a signal ends a wait at the limit, as up to 6.3");

static unsigned char earlier = 3;
module_param(earlier, byte, 0444);
MODULE_PARM_DESC(earlier, "ancestry: how many earlier requests for the same name a chain may contain");

static bool errors;
module_param(errors, bool, 0444);
MODULE_PARM_DESC(errors, "whether the failure of a helper is logged");

/* What is found by name. */
static char *path;
static bool (*is_async)(void);
static int (*security)(char *name);
static struct tracepoint *tracepoint;
static int (*traceiter)(void *data, char *name, bool wait, unsigned long ip);

char *rust_kmod_path(void)
{
	return path;
}

bool rust_kmod_is_async(void)
{
	return is_async();
}

int rust_kmod_security(char *name)
{
	return security ? security(name) : 0;
}

/* trace_module_request(), whose trace point is not exported. */
void rust_kmod_trace(char *name, bool wait, unsigned long ip)
{
	if (!tracepoint || !static_key_enabled(&tracepoint->key))
		return;
	guard(srcu_fast_notrace)(&tracepoint_srcu);
	traceiter(NULL, name, wait, ip);
}

/* A helper whose caller was killed ends later, and then calls back into the module. */
void rust_kmod_hold(void)
{
	__module_get(THIS_MODULE);
}

void rust_kmod_release(void)
{
	module_put(THIS_MODULE);
}

static struct klp_func functions[] = {
	{
		.old_name = "__request_module",
		.new_func = rust_kmod_request_module,
	},
	{ }
};

static struct klp_object objects[] = {
	{ .funcs = functions },
	{ }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
};

static int find_symbols(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	unsigned long (*lookup)(const char *name);
	int error = register_kprobe(&probe);

	if (error)
		return error;
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);

	path = (void *)lookup("modprobe_path");
	is_async = (void *)lookup("current_is_async");
	if (IS_ENABLED(CONFIG_SECURITY))
		security = (void *)lookup("security_kernel_module_request");
	if (IS_ENABLED(CONFIG_TRACEPOINTS)) {
		tracepoint = (void *)lookup("__tracepoint_module_request");
		traceiter = (void *)lookup("__traceiter_module_request");
	}
	if (!path || !is_async || (IS_ENABLED(CONFIG_SECURITY) && !security) || (tracepoint && !traceiter))
		return -ENOENT;
	return 0;
}

static int __init livepatch_init(void)
{
	int error = find_symbols();

	if (error) {
		pr_err("rust_kmod: cannot find a symbol of the kernel\n");
		return error;
	}
	error = rust_kmod_init(policy, strlen(policy), killable, earlier, errors);
	if (error) {
		pr_err("rust_kmod: invalid parameters\n");
		return error;
	}
	return klp_enable_patch(&patch);
}

/* The module can only be removed once the patch is disabled, no task is in its functions and no helper refers to it. */
static void __exit livepatch_exit(void)
{
	/* A task may still be at the end of rust_kmod_release(). */
	synchronize_rcu_tasks();
}

module_init(livepatch_init);
module_exit(livepatch_exit);
MODULE_INFO(livepatch, "Y");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("request_module() in Rust, as a live patch");
