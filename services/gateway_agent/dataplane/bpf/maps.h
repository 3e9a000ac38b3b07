/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The forwarding table and the sessions as maps. maps.py packs and unpacks the same structs: whoever changes one
 * changes the other, and counts up LAYOUT in bpffs.py, for maps outlive the agent.
 *
 * Everything is keyed by the local number of a VPC, never by an address alone: VPCs overlap.
 */
#ifndef SIDEGATE_MAPS_H
#define SIDEGATE_MAPS_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "counters.h"

#define MAX_VPCS 65536
#define MAX_SERVICES 65536
#define MAX_ENDPOINTS 131072
#define MAX_BACKENDS 262144
#define MAX_PORTS 262144
#define MAX_ALLOWED 1048576
#define DEFAULT_SESSION_ENTRIES 262144

#define TARGET_SIZE 272
#define UUID_SIZE 16

/* ---- devices and VPCs ------------------------------------------------------------------------------------------ */

#define VPC_LOCAL_PEER 1 /* the device is a veth whose other end is in another namespace of this machine */

struct vpc {
	__u32 ifindex; /* 0: no device */
	__u32 flags;
	__u8 mac[ETH_ALEN];
	__u16 mtu; /* longest IPv4 packet that the device sends; 0: not looked at */
};
_Static_assert(sizeof(struct vpc) == 16, "as in maps.py");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VPCS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);   /* ifindex */
	__type(value, __u32); /* VPC */
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_VPCS);
	__type(key, __u32);
	__type(value, struct vpc);
} vpcs SEC(".maps");

/* ---- endpoints and who may use them ---------------------------------------------------------------------------- */

struct endpoint_key {
	__u32 vpc;
	__be32 address;
};

struct endpoint {
	__u32 slot;
	__u32 epoch; /* forwards only while it equals the slot's */
	__u32 service;
	__be32 source_address;
	__u64 marker;
	__u64 admission;
	__u8 id[UUID_SIZE];
};
_Static_assert(sizeof(struct endpoint) == 48, "as in maps.py");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENDPOINTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct endpoint_key);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

/*
 * A pair of counters in one 64-bit word. The agent writes it through mmap with one store, so no packet sees half of
 * a change; bpf(2) would copy it with memcpy, which promises nothing.
 */
struct pair {
	__u32 low;
	__u32 high;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);   /* slot */
	__type(value, __u64); /* low: session epoch, high: version of `allowed`, DRAINING above it */
} slots SEC(".maps");

/* No session opens, and those that are open go on until the slot's deadline. */
#define DRAINING (1U << 31)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);   /* slot */
	__type(value, __u64); /* nanoseconds of CLOCK_BOOTTIME; means something only while the slot is draining */
} deadlines SEC(".maps");

/* The same deadlines as the control plane told them; the program does not read them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);   /* slot */
	__type(value, __u64); /* nanoseconds since 1970 */
} drains SEC(".maps");

struct allowed_key {
	__u32 prefix_length; /* of all that follows */
	__u32 slot;
	__u32 version;
	__be32 source;
};
#define ALLOWED_HOST_PREFIX (8 * (sizeof(struct allowed_key) - sizeof(__u32)))

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_ALLOWED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct allowed_key);
	__type(value, __u32); /* place in the configured list */
} allowed SEC(".maps");

/* ---- services -------------------------------------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVICES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);   /* service */
	__type(value, __u64); /* low: version of the lists below, high: number of backends that take new sessions */
} services SEC(".maps");

struct port_key {
	__u32 service;
	__u32 version;
	__u16 protocol;
	__be16 client_port;
};

struct port {
	__be16 server_port;
	__u16 place; /* in the configured list */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PORTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct port_key);
	__type(value, struct port);
} ports SEC(".maps");

struct backend_key {
	__u32 service;
	__u32 version;
	__u32 index; /* those that take new sessions come first, in the order of their addresses */
};

struct backend {
	__be32 address;
	__u32 vpc;
	__u8 mac[ETH_ALEN];
	__u16 place; /* in the configured list */
	__u8 weight;
	__u8 draining;
	__u8 unused[2];
};
_Static_assert(sizeof(struct backend) == 20, "as in maps.py");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BACKENDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct backend_key);
	__type(value, struct backend);
} backends SEC(".maps");

/*
 * The backend of a new session by a slot of its hash: shares.py fills the slots in proportion to weights. It is there
 * only where two or more backends take new sessions. With what the kernel adds, an element takes 4 KB and no more.
 */
#define SHARE_SLOTS 4027

struct shares_key {
	__u32 service;
	__u32 version;
};

struct shares {
	__u8 backends[SHARE_SLOTS]; /* the index in `backends` */
};
_Static_assert(sizeof(struct shares) == 4027, "as in maps.py");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct shares_key);
	__type(value, struct shares);
} shares SEC(".maps");

/* ---- sessions: two entries each, one per direction ------------------------------------------------------------- */

struct tuple {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 vpc; /* where the packet comes from */
	__u32 protocol;
};
_Static_assert(sizeof(struct tuple) == 20, "as in maps.py");

enum direction {
	FROM_CONSUMER,
	FROM_PROVIDER,
};

struct session {
	struct tuple self;  /* the key once more: see follow_session() */
	struct tuple other; /* the key of the other direction's entry; turned round, it is what packets become */
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
	__u8 unused[2];
};
_Static_assert(sizeof(struct session) == 76, "as in maps.py");

/* Preallocated, so that no packet allocates; not LRU, which would evict half of a pair. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DEFAULT_SESSION_ENTRIES);
	__type(key, struct tuple);
	__type(value, struct session);
} sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* ---- records: what the program needs no names for; with them the table can be read from the kernel alone ------- */

struct attachment_record {
	__u32 vpc;
	__u32 kind;
	__u8 target[TARGET_SIZE]; /* records.py says what it holds for each kind */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VPCS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u8[UUID_SIZE]);
	__type(value, struct attachment_record);
} attachments SEC(".maps");

struct service_record {
	__u32 service;
	__u8 vpc_id[UUID_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u8[UUID_SIZE]);
	__type(value, struct service_record);
} service_names SEC(".maps");

static __always_inline void count(enum counter reason)
{
	__u32 key = reason;
	__u64 *counter = bpf_map_lookup_elem(&counters, &key);

	if (counter)
		(*counter)++;
}

static __always_inline struct pair read_pair(const __u64 *word)
{
	__u64 value = *(const volatile __u64 *)word;

	return (struct pair){.low = (__u32)value, .high = (__u32)(value >> 32)};
}

struct slot {
	__u32 epoch;
	__u32 allow_version;
	bool draining;
};

static __always_inline struct slot read_slot(__u32 number)
{
	const __u64 *word = bpf_map_lookup_elem(&slots, &number);
	struct pair pair = word ? read_pair(word) : (struct pair){};

	return (struct slot){
		.epoch = pair.low, .allow_version = pair.high & ~DRAINING, .draining = pair.high & DRAINING};
}

static __always_inline bool is_drained(__u32 slot)
{
	const volatile __u64 *deadline = bpf_map_lookup_elem(&deadlines, &slot);

	return !deadline || bpf_ktime_get_boot_ns() >= *deadline;
}

static __always_inline struct pair read_service(__u32 service)
{
	const __u64 *word = bpf_map_lookup_elem(&services, &service);

	return word ? read_pair(word) : (struct pair){};
}

#endif
