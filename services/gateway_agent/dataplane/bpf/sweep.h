/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Judging sessions and removing those that are over: idle, closed, or cut with their endpoint. Included once for each
 * family, as session.h is. The agent runs it on keys that it read from the map in a batch; it runs as a system call does,
 * so a packet need not wait for it.
 */

static __always_inline __u32 FN(idle_limit)(const struct FN(session) *consumer, const struct FN(session) *provider,
					    const struct settings *settings)
{
	bool two_way = consumer->flow.confirmed && provider->flow.confirmed;

	if ((consumer->self.vpc_protocol & 0xff) == IPPROTO_UDP)
		return two_way ? settings->udp_two_way : settings->udp_one_way;
	if (consumer->flow.reset || provider->flow.reset || (consumer->flow.finished && provider->flow.finished))
		return settings->tcp_closed;
	return two_way ? settings->tcp_established : settings->tcp_half_open;
}

static __always_inline enum flow_end FN(end_of)(const struct FN(session) *consumer,
						const struct FN(session) *provider)
{
	if (consumer->flow.reset || provider->flow.reset)
		return FLOW_RESET;
	return consumer->flow.finished && provider->flow.finished ? FLOW_CLOSED : FLOW_IDLE;
}

/* A pair is judged at its consumer's entry; the provider's is removed alone only if it has no other any more. */
static __always_inline void FN(judge)(const struct FN(tuple) *key, struct sweep *sweep)
{
	struct FN(session) *entry = bpf_map_lookup_elem(&FN(sessions), key);
	if (!entry)
		return;
	struct FN(session) session = *entry;
	barrier();
	if (!FN(same)(&entry->self, key))
		return;

	struct slot slot = read_slot(session.flow.slot);
	bool stale = session.flow.epoch != slot.epoch || (slot.draining && is_drained(session.flow.slot));
	__u32 now = sweep->now / NANOSECONDS, quiet = now - session.flow.last_seen;
	if (session.flow.direction != FROM_CONSUMER) {
		/* One that is just being opened has none yet. */
		if (quiet > ORPHAN_SECONDS && (__s32)quiet > 0 &&
		    !bpf_map_lookup_elem(&FN(sessions), &session.other))
			bpf_map_delete_elem(&FN(sessions), key);
		return;
	}
	sweep->sessions++;
	if (stale) {
		sweep->removed += FN(remove_session)(&session, FLOW_CUT, sweep->now);
		return;
	}
	struct FN(session) *other = bpf_map_lookup_elem(&FN(sessions), &session.other);
	const struct settings *settings =
		find_settings(session.flow.service, read_service(session.flow.service).version);
	if (!other) {
		sweep->removed += FN(remove_session)(&session, FLOW_CLOSED, sweep->now);
		return;
	}
	if (!settings) /* the agent has just turned to others */
		return;
	__u32 quiet_too = now - other->flow.last_seen;
	if ((__s32)quiet_too < (__s32)quiet)
		quiet = quiet_too;
	if ((__s32)quiet >= (__s32)FN(idle_limit)(&session, other, settings))
		sweep->removed += FN(remove_session)(&session, FN(end_of)(&session, other), sweep->now);
}

static long FN(judge_key)(void *map, __u32 *index, struct FN(tuple) *key, struct sweep *sweep)
{
	(void)map;
	if (*index >= sweep->keys)
		return 1;
	struct FN(tuple) copy = *key;
	FN(judge)(&copy, sweep);
	return 0;
}

SEC("syscall")
int FN(sweep)(struct sweep *context)
{
	/* A system call may not read the coarse clock; a session seen since this one was read counts as seen now. */
	struct sweep sweep = {.keys = context->keys, .now = context->now ? context->now : bpf_ktime_get_ns()};

	bpf_for_each_map_elem(&FN(sweep_keys), FN(judge_key), &sweep, 0);
	context->sessions = sweep.sessions;
	context->removed = sweep.removed;
	return 0;
}
