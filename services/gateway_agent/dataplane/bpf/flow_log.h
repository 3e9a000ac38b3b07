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

#define BODY_CHUNK 256

/* RFC 792 */
struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__u8 pointer;
	__u8 unused;
	__be16 mtu;
};

/* What an error tells of the packet that it is about: its header, and eight bytes of TCP or UDP. */
struct quote {
	struct iphdr ip;
	__be16 source_port;
	__be16 destination_port;
	__u16 udp_length;
	__u16 udp_check;
};

struct icmp_error {
	__u8 unused[2]; /* so that what follows lies at multiples of 4 */
	struct ethhdr eth;
	struct iphdr ip;
	struct icmp_header icmp;
	struct quote quote;
};
_Static_assert(sizeof(struct icmp_error) == 72, "without holes");

/* A fragment. */
struct piece {
	__u32 offset; /* bytes */
	__u32 length; /* bytes of payload */
	bool last_hop;
	struct fragment_key key;
};

/* RFC 4443 */
struct icmp6_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 rest;
};

struct quote6 {
	struct ipv6hdr ip;
	__be16 source_port;
	__be16 destination_port;
	__u16 udp_length;
	__u16 udp_check;
};

struct icmp_error6 {
	__u8 unused[2];
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct icmp6_header icmp;
	struct quote6 quote;
};
_Static_assert(sizeof(struct icmp_error6) == 112, "without holes");

struct reset_frame {
	__u8 unused[2];
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
};

struct reset_frame6 {
	__u8 unused[2];
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct tcphdr tcp;
};

/* The options of a SYN as they came, as they go, and what is added: see toa.h. */
struct toa {
	__u8 before[40];
	__u8 after[40];
	__u8 option[20];
	struct reading {
		__u32 length; /* of all of them */
		__u32 until;  /* bytes from here on are of another option */
		__u8 erase;
		__u8 unreadable;
		__u8 unused[2];
	} reading;
};

/* What does not fit on the stack while a session opens: softirqs of one processor do not interrupt each other. */
struct desk {
	struct client client;
	struct grant grant;
	struct session session;
	struct session6 session6;
	struct packet packet;
	struct route route;
	struct packet6 packet6;
	struct route6 route6;
	struct flow_record record;
	struct icmp_error error;
	struct icmp_error6 error6;
	struct reset_frame reset;
	struct reset_frame6 reset6;
	struct toa toa;
	struct piece piece;
	struct fragmented fragmented;
	__u8 body[5 * BODY_CHUNK] __attribute__((aligned(8))); /* of an ICMP error that came */
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

__noinline int log_refusal(struct desk *desk, __u32 slot, __u32 reason)
{
	if (!desk)
		return 0;
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
	return 1;
}

#endif
