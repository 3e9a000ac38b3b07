/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The sessions, and what has passed, as maps: session_maps.py has the same structs. Changed by the program alone. */
#ifndef SIDEGATE_SESSION_MAPS_H
#define SIDEGATE_SESSION_MAPS_H

#include "maps.h"

/* ---- sessions: two entries each, one per direction ------------------------------------------------------------- */

/* Where a packet comes from and where it goes. VPC numbers are below 2^24. */
struct tuple {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 vpc_protocol; /* the VPC that it comes from << 8 | protocol */
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct tuple) == 16, "as in maps.py");

struct tuple6 {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 vpc_protocol;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct tuple6) == 40, "as in maps.py");

enum direction {
	FROM_CONSUMER,
	FROM_PROVIDER,
};

/* What is known of one direction of a session, whatever its family. */
struct flow {
	__u32 slot;
	__u32 epoch;
	__u32 allow_version; /* last version of the whitelist that let the client in */
	__u32 service;
	__u32 service_version; /* last version of the service that published the port */
	__u32 last_seen;       /* seconds of CLOCK_MONOTONIC */
	__u8 next_hop[ETH_ALEN];
	__u8 direction;
	/* Bytes of their own and only ever set, so that two CPUs need no lock. */
	__u8 confirmed; /* an ACK of TCP, or any packet of UDP, has come this way */
	__u8 finished;  /* a FIN has */
	__u8 reset;     /* an RST has */
	__u8 logged;    /* packets and bytes are counted, for the flow log */
	__u8 identity;  /* enum identity: PROXY where it goes to one */
	__u32 address_sum; /* what the rewriting of addresses adds to a checksum, and of ports */
	__u32 port_sum;
	__u32 tick; /* the jiffies of the last packet, so far as they were looked at */
	__u64 began; /* nanoseconds of CLOCK_MONOTONIC */
	__u64 packets;
	__u64 bytes; /* of IP packets */
};
_Static_assert(sizeof(struct flow) == 72, "as in maps.py");

struct session {
	struct tuple self;  /* the key once more: see follow() */
	struct tuple other; /* the key of the other direction's entry; turned round, it is what packets become */
	struct flow flow;
};
_Static_assert(sizeof(struct session) == 104, "as in maps.py");

struct session6 {
	struct tuple6 self;
	struct tuple6 other;
	struct flow flow;
};
_Static_assert(sizeof(struct session6) == 152, "as in maps.py");

/* Preallocated, so that no packet allocates; not LRU, which would evict half of a pair. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DEFAULT_SESSION_ENTRIES);
	__type(key, struct tuple);
	__type(value, struct session);
} sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DEFAULT_SESSION_ENTRIES);
	__type(key, struct tuple6);
	__type(value, struct session6);
} sessions6 SEC(".maps");

/* The keys that one run of a sweep looks at; bpf(2) writes them here from a batch. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SWEEP_KEYS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct tuple);
} sweep_keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SWEEP_KEYS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct tuple6);
} sweep_keys6 SEC(".maps");

/* ---- fragments: what those after the first need to know -------------------------------------------------------- */

#define MAX_FRAGMENTED 16384
#define FRAGMENT_SECONDS 30 /* as long as a stack waits for all of them */

/* A datagram, as RFC 791 tells them apart. */
struct fragment_key {
	__u32 vpc;
	__be32 source;
	__be32 destination;
	__be16 id;
	__u16 protocol;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct fragment_key) == 16, "without holes");

struct fragmented {
	struct fragment_key key; /* once more: see follow() */
	__u64 until;             /* nanoseconds of CLOCK_MONOTONIC */
	__be32 source;           /* what its addresses become */
	__be32 destination;
	__u32 address_sum;
	__u32 vpc; /* where it goes */
	__u32 slot;
	__u32 epoch;
	__u32 allow_version;
	__u32 service;
	__u32 header; /* bytes of payload in the first one: those after it begin behind them */
	__u8 next_hop[ETH_ALEN];
	__be16 id; /* what its id becomes */
	__u32 direction;
};
_Static_assert(sizeof(struct fragmented) == 72, "without holes");

/* ---- what has passed, and what has not -------------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct traffic {
	__u64 sessions_made;
	__u64 packets[2]; /* by direction; a GSO packet counts as what it becomes on a wire */
	__u64 bytes[2];   /* of IP packets */
};
_Static_assert(sizeof(struct traffic) == 40, "as in maps.py");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, __u32); /* slot */
	__type(value, struct traffic);
} traffic SEC(".maps");

/* What limits are measured by; changed with atomic operations, for limits hold over all CPUs. */
struct usage {
	__u64 sessions; /* how many there are, and above them the epoch that they are of */
	__u64 new_at;   /* see meter.h: when the allowance for new sessions will be whole again */
	__u64 bits_at;  /* for bits */
};
_Static_assert(sizeof(struct usage) == 24, "as in maps.py");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, __u32); /* slot */
	__type(value, struct usage);
} usage SEC(".maps");

struct refusal_key {
	__u32 slot;
	__u32 reason; /* enum counter */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, MAX_REFUSALS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct refusal_key);
	__type(value, __u64);
} refusals SEC(".maps");

/* One element, written by the agent. */
struct options {
	__u32 flow_log; /* of 2^32 - 1 sessions as many are logged; 0 is none */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64); /* struct options */
} options SEC(".maps");

enum flow_end {
	FLOW_CLOSED,
	FLOW_RESET,
	FLOW_IDLE,
	FLOW_CUT,
	FLOW_REFUSED,
};

struct flow_record {
	struct address client;
	struct address endpoint;
	__be16 client_port;
	__be16 endpoint_port;
	__u32 vpc_protocol;
	__u32 slot;
	__u32 epoch;
	__u32 end;    /* enum flow_end */
	__u32 reason; /* enum counter, where it was refused */
	__u64 packets[2];
	__u64 bytes[2];
	__u64 began; /* nanoseconds of CLOCK_MONOTONIC */
	__u64 ended;
};
_Static_assert(sizeof(struct flow_record) == 104, "as in maps.py");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FLOW_LOG_BYTES);
} flows SEC(".maps");

static __always_inline void count(enum counter reason)
{
	__u32 key = reason;
	__u64 *counter = bpf_map_lookup_elem(&counters, &key);

	if (counter)
		(*counter)++;
}

#endif
