/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Records of sessions for the flow log. A full buffer loses records and counts them: forwarding never waits. */
#ifndef SIDEGATE_FLOW_LOG_H
#define SIDEGATE_FLOW_LOG_H

#include "meter.h"
#include "table.h"

/* Whether this one is to be logged: of 2^32 as many as the option says. */
static __always_inline bool is_sampled(void)
{
	__u32 key = 0;
	const volatile __u64 *found = bpf_map_lookup_elem(&options, &key);
	__u32 wanted = found ? (__u32)*found : 0;

	return wanted && bpf_get_prandom_u32() <= wanted;
}

static __always_inline void write_record(const struct flow_record *record)
{
	if (bpf_ringbuf_output(&flows, (void *)record, sizeof(*record), 0))
		count(FLOW_RECORD_LOST);
}

/* What does not fit on the stack while a session opens: softirqs of one processor do not interrupt each other. */
struct desk {
	struct client client;
	struct grant grant;
	struct session session;
	struct session6 session6;
	struct packet6 packet6;
	struct route6 route6;
	struct flow_record record;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct desk);
} desks SEC(".maps");

static __always_inline struct desk *find_desk(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&desks, &key);
}

static __always_inline void log_refusal(struct desk *desk, __u32 slot, __u32 reason)
{
	const struct client *client = &desk->client;

	desk->record = (struct flow_record){
		.client = client->source,
		.endpoint = client->destination,
		.client_port = client->source_port,
		.endpoint_port = client->destination_port,
		.vpc_protocol = client->vpc << 8 | client->protocol,
		.slot = slot,
		.end = FLOW_REFUSED,
		.reason = reason,
		.packets = {1, 0},
		.began = now_ns(),
		.ended = now_ns(),
	};
	write_record(&desk->record);
}

#endif
