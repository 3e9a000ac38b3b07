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

#define MAX_DEVICES 1048576
#define MAX_VPCS 65536
#define MAX_SERVICES 65536
#define MAX_ENDPOINTS 131072
#define MAX_BACKENDS 262144
#define MAX_PORTS 262144
#define MAX_ALLOWED 1048576
#define MAX_SOURCES 1048576
#define MAX_ROUTES 262144
#define MAX_REFUSALS 262144
#define DEFAULT_SESSION_ENTRIES 262144
#define FLOW_LOG_BYTES 1048576
#define SWEEP_KEYS 1024

#define TARGET_SIZE 272
#define UUID_SIZE 16
#define HEALTH_SIZE 152

/* An IPv6 address, or an IPv4 address mapped into one (::ffff:192.0.2.1): what only the opening of a session looks at
 * knows one kind of addresses. */
struct address {
	__be32 word[4];
};
#define MAPPED bpf_htonl(0x0000ffff)

/* ---- devices and VPCs ------------------------------------------------------------------------------------------ */

/* The device is a veth whose other end is in another namespace of this machine: packets do not leave by it, but come in
 * at that end, which takes any length. */
#define VPC_LOCAL_PEER 1

struct vpc {
	__u32 ifindex; /* 0: no device */
	__u32 flags;
	__u8 mac[ETH_ALEN];
	__u16 mtu; /* longest IP packet that the device sends; 0: not known */
};
_Static_assert(sizeof(struct vpc) == 16, "as in maps.py");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY); /* an array, for every packet looks here first */
	__uint(max_entries, MAX_DEVICES);
	__type(key, __u32);   /* ifindex */
	__type(value, __u32); /* VPC; 0: no device of ours */
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
	struct address address;
};

struct endpoint {
	__u32 slot;
	__u32 epoch; /* forwards only while it equals the slot's */
	__u32 service;
	__be32 source_address; /* the first of its sources */
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
	__type(value, __u64); /* low: session epoch, high: version of `allowed` and `rules`, ROUTED, EVERYBODY, DRAINING */
} slots SEC(".maps");

/* No session opens, and those that are open go on until the slot's deadline. */
#define DRAINING (1U << 31)

/* The whitelist lets in everybody: who looks need not look it up. */
#define EVERYBODY (1U << 30)

/* The endpoint is reached by routes: `rules` says which addresses those are, its own in `endpoints` among them. */
#define ROUTED (1U << 29)

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

/*
 * The further sources of an endpoint: how many there are is one store, made when they are there. An IPv6 source address
 * is SOURCE_PREFIX6 and then these 32 bits.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);   /* slot */
	__type(value, __u64); /* low: how many, the one in `endpoints` not counted */
} source_counts SEC(".maps");

struct source_key {
	__u32 slot;
	__u32 index; /* from 1; 0 is in `endpoints` */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SOURCES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_key);
	__type(value, __be32);
} more_sources SEC(".maps");

/*
 * Where an endpoint's new sessions to ports with PROXY go: a service of its VPC's annex; its own service, which then takes
 * them itself; or nobody. Not in `endpoints`, so that it may change and nothing is cut: one store.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);   /* slot */
	__type(value, __u64); /* low: service, 0 is none */
} proxies SEC(".maps");

struct owner {
	__u32 slot;
	__u32 service;
};

/* Whose a source address is in a provider's VPC: what a neighbour asks for, and who is to learn of refused answers. */
struct owner_key {
	__u32 vpc;
	__be32 source;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SOURCES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct owner_key);
	__type(value, struct owner);
} source_owners SEC(".maps");

struct allowed_key {
	__u32 prefix_length; /* of all that follows */
	__u32 slot;
	__u32 version;
	struct address address; /* of a client; in `rules`, of what it sends to */
};
#define ALLOWED_HOST_PREFIX (8 * (sizeof(struct allowed_key) - sizeof(__u32)))

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_ALLOWED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct allowed_key);
	__type(value, __u32); /* place in the configured list */
} allowed SEC(".maps");

/* ---- routes ---------------------------------------------------------------------------------------------------- */

/* A range of a VPC's addresses, or one of them. */
struct range {
	__u32 prefix_length; /* of all that follows */
	struct endpoint_key first;
};
#define RANGE_HOST_PREFIX (8 * sizeof(struct endpoint_key))

/*
 * Which address in `endpoints` stands for a range. It is a hint: an element may be replaced or reused while it is read,
 * and only `rules` says whether the endpoint that is found there has such an address.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_ROUTES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct range);
	__type(value, struct address);
} routes SEC(".maps");

static __always_inline struct range range_of(__u32 vpc, const struct address *address)
{
	return (struct range){.prefix_length = RANGE_HOST_PREFIX, .first = {.vpc = vpc, .address = *address}};
}

/* Whether an address of a VPC is an endpoint's, or in one of its routes, denied ones too. */
static __always_inline bool is_endpoints(__u32 vpc, const struct address *address)
{
	struct range range = range_of(vpc, address);

	return bpf_map_lookup_elem(&endpoints, &range.first) || bpf_map_lookup_elem(&routes, &range);
}

#define RULE_DENIES (1U << 31)
#define RULE_HAS_PORTS (1U << 30) /* only those in `rule_ports` */
#define RULE_PLACE 0xffff	  /* in the configured list */

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_ROUTES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct allowed_key);
	__type(value, __u32);
} rules SEC(".maps");

struct rule_port {
	__u32 slot;
	__u32 version;
	__u16 place; /* of the rule */
	__be16 client_port;
	__u32 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PORTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rule_port);
	__type(value, __u32); /* place in the rule's list */
} rule_ports SEC(".maps");

/* ---- services -------------------------------------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVICES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);   /* service */
	__type(value, __u64); /* low: version of what follows, high: number of backends that take new sessions; METERED */
} services SEC(".maps");

#define METERED (1U << 31) /* its settings limit bits per second: every packet is measured */

/* Of a service, by its number and version: as `ports` and `backends` are. */
struct versioned {
	__u32 service;
	__u32 version;
};

#define AFFINITY_SOURCE_ADDRESS 1
#define RESET_EXPIRED 2
#define KEEPS_SOURCE 4

struct settings {
	__u32 tcp_established; /* idle limits in seconds */
	__u32 tcp_half_open;
	__u32 tcp_closed;
	__u32 udp_two_way;
	__u32 udp_one_way;
	__u32 flags;
	__u64 connections; /* limits of each endpoint, 0 for none */
	__u64 new_connections_per_second;
	__u64 bits_per_second;
	__u8 health[HEALTH_SIZE]; /* the agent's: how backends are asked */
};
_Static_assert(sizeof(struct settings) == 200, "as in maps.py");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct versioned);
	__type(value, struct settings);
} settings SEC(".maps");

struct port_key {
	__u32 service;
	__u32 version;
	__u16 protocol;
	__be16 client_port;
};

/* What backends learn of a client. */
enum identity {
	IDENTITY_NONE,
	IDENTITY_TOA,
	IDENTITY_PROXY,
};

struct port {
	__be16 server_port;
	__u16 place; /* in the configured list */
	__u8 identity; /* enum identity */
	__u8 unused[3];
};
_Static_assert(sizeof(struct port) == 8, "as in maps.py");

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
	struct address address;
	__u32 vpc;
	__u8 mac[ETH_ALEN];
	__u16 place; /* in the configured list */
	__u8 weight;
	__u8 draining;
	__u8 unused[2];
};
_Static_assert(sizeof(struct backend) == 32, "as in maps.py");

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

struct shares {
	__u8 backends[SHARE_SLOTS]; /* the index in `backends` */
};
_Static_assert(sizeof(struct shares) == 4027, "as in maps.py");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct versioned);
	__type(value, struct shares);
} shares SEC(".maps");

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

static __always_inline struct pair read_pair(const __u64 *word)
{
	__u64 value = *(const volatile __u64 *)word;

	return (struct pair){.low = (__u32)value, .high = (__u32)(value >> 32)};
}

struct slot {
	__u32 epoch;
	__u32 allow_version;
	bool draining;
	bool everybody;
	bool routed;
};

static __always_inline struct slot read_slot(__u32 number)
{
	const __u64 *word = bpf_map_lookup_elem(&slots, &number);
	struct pair pair = word ? read_pair(word) : (struct pair){};

	return (struct slot){
		.epoch = pair.low,
		.allow_version = pair.high & ~(DRAINING | EVERYBODY | ROUTED),
		.draining = pair.high & DRAINING,
		.everybody = pair.high & EVERYBODY,
		.routed = pair.high & ROUTED};
}

static __always_inline bool is_drained(__u32 slot)
{
	const volatile __u64 *deadline = bpf_map_lookup_elem(&deadlines, &slot);

	return !deadline || bpf_ktime_get_boot_ns() >= *deadline;
}

struct service {
	__u32 version;
	__u32 takers; /* backends that take new sessions */
	bool metered;
};

static __always_inline struct service read_service(__u32 number)
{
	const __u64 *word = bpf_map_lookup_elem(&services, &number);
	struct pair pair = word ? read_pair(word) : (struct pair){};

	return (struct service){
		.version = pair.low, .takers = pair.high & ~METERED, .metered = pair.high & METERED};
}

static __always_inline const struct settings *find_settings(__u32 service, __u32 version)
{
	struct versioned key = {.service = service, .version = version};

	return bpf_map_lookup_elem(&settings, &key);
}

#endif
