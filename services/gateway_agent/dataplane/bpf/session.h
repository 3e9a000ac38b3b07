/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Opening sessions by the rules of the table, and following those that are open. */
#ifndef SIDEGATE_SESSION_H
#define SIDEGATE_SESSION_H

#include "packet.h"

#define FIRST_SOURCE_PORT 1024
#define SOURCE_PORTS (65536 - FIRST_SOURCE_PORT)
#define SOURCE_PORT_CANDIDATES 8
#define NANOSECONDS 1000000000ULL
#define EEXIST 17
#define GOLDEN_RATIO 0x9e3779b9

/* What the table says to a client that may connect. */
struct grant {
	struct endpoint endpoint;
	struct backend backend;
	__be16 server_port;
	__u32 allow_version;
	__u32 service_version;
};

static __always_inline bool same(const struct tuple *one, const struct tuple *two)
{
	return one->source == two->source && one->destination == two->destination &&
	       one->source_port == two->source_port && one->destination_port == two->destination_port &&
	       one->vpc == two->vpc && one->protocol == two->protocol;
}

static __always_inline __u32 seconds_now(void)
{
	return bpf_ktime_get_coarse_ns() / NANOSECONDS;
}

/* A number below `range` from a hash, without a division. */
static __always_inline __u32 scale(__u32 hash, __u32 range)
{
	return ((__u64)hash * range) >> 32;
}

static __always_inline __u32 rotate(__u32 word, __u32 by)
{
	return (word << by) | (word >> (32 - by));
}

/*
 * Bob Jenkins' lookup3 over three words (the kernel's jhash_3words). A multiply and xor is not enough: addresses and
 * ports in network order differ in few, high bits, and of those it keeps some 16 bits of entropy.
 */
static __always_inline __u32 hash3(__u32 a, __u32 b, __u32 c)
{
	a += GOLDEN_RATIO, b += GOLDEN_RATIO, c += GOLDEN_RATIO;
	c ^= b, c -= rotate(b, 14);
	a ^= c, a -= rotate(c, 11);
	b ^= a, b -= rotate(a, 25);
	c ^= b, c -= rotate(b, 16);
	a ^= c, a -= rotate(c, 4);
	b ^= a, b -= rotate(a, 14);
	c ^= b, c -= rotate(b, 24);
	return c;
}

static __always_inline __u32 hash_tuple(const struct tuple *tuple)
{
	__u32 ports = (__u32)tuple->source_port << 16 | tuple->destination_port;

	return hash3(tuple->source, tuple->destination, hash3(ports, tuple->vpc, tuple->protocol));
}

/* Looks twice: the agent deletes a version of a list as soon as it has published the next. */
static __always_inline bool source_allowed(__u32 slot, __be32 source, __u32 *version)
{
	for (int look = 0; look < 2; look++) {
		struct allowed_key key = {.prefix_length = ALLOWED_HOST_PREFIX, .slot = slot, .source = source};

		*version = key.version = read_slot(slot).allow_version;
		if (bpf_map_lookup_elem(&allowed, &key))
			return true;
	}
	return false;
}

static __always_inline bool port_published(__u32 service, __u32 version, __u32 protocol, __be16 client_port,
					   __be16 *server_port)
{
	struct port_key key = {
		.service = service, .version = version, .protocol = protocol, .client_port = client_port};
	struct port *port = bpf_map_lookup_elem(&ports, &key);

	if (port)
		*server_port = port->server_port;
	return port;
}

/* A number below the count of backends that take new sessions; beyond them where the agent has just turned to another. */
static __always_inline __u32 share_of(__u32 service, struct pair now, __u32 hash)
{
	struct shares_key key = {.service = service, .version = now.low};
	__u32 slot = scale(hash, SHARE_SLOTS);

	if (now.high == 1)
		return 0;
	struct shares *found = bpf_map_lookup_elem(&shares, &key);
	return found && slot < SHARE_SLOTS ? found->backends[slot] : now.high;
}

static __always_inline enum counter choose_backend(const struct tuple *client, struct grant *grant)
{
	enum counter reason = REFUSED_NO_PORT;

	for (int look = 0; look < 2; look++) { /* as in source_allowed() */
		__u32 service = grant->endpoint.service;
		struct pair now = read_service(service);

		grant->service_version = now.low;
		if (!port_published(service, now.low, client->protocol, client->destination_port, &grant->server_port))
			continue;
		reason = REFUSED_NO_BACKEND;
		if (!now.high)
			continue;
		struct backend_key key = {
			.service = service, .version = now.low, .index = share_of(service, now, hash_tuple(client))};
		struct backend *backend = bpf_map_lookup_elem(&backends, &key);
		if (!backend)
			continue;
		grant->backend = *backend;
		barrier();
		/* A deleted element may hold another service's backend at once; none was deleted before this has changed. */
		if (read_service(service).low == now.low)
			return FORWARDED;
	}
	return reason;
}

/*
 * Copies the endpoint at an address. A removed element is filled anew at once, maybe for another tenant and maybe while
 * it is copied here, so the copy must be shown to be of one endpoint, and of this one. What the agent promises:
 *   - it writes an element whole before its slot gets the element's epoch, and takes that epoch away before the element
 *     goes or is replaced; a slot never has an epoch again. While a slot has an epoch, its element is whole and stays.
 * So let the element say slot and epoch in one load, and let that slot have that epoch both before and after the copy:
 *   - all of the copy is then of that one element, whosever it is. And since the key is found in this very element in
 *     between, it is this address's.
 *   - Slot and epoch might be halves of two elements only while one is being written. It is in no bucket then: either it
 *     is not found, or it is written by now, and the second load is another word.
 */
static __always_inline enum counter copy_endpoint(const struct tuple *client, struct endpoint *copy, struct slot *slot)
{
	struct endpoint_key key = {.vpc = client->vpc, .address = client->destination};
	struct endpoint *element = bpf_map_lookup_elem(&endpoints, &key);

	if (!element)
		return REFUSED_NO_ENDPOINT;
	struct pair first = read_pair((const __u64 *)element);
	if (read_slot(first.low).epoch != first.high)
		return REFUSED_STALE_EPOCH;
	barrier();
	*copy = *element;
	barrier();
	if (bpf_map_lookup_elem(&endpoints, &key) != element)
		return REFUSED_STALE_EPOCH;
	struct pair second = read_pair((const __u64 *)element);
	*slot = read_slot(second.low);
	if (second.low != first.low || second.high != first.high || slot->epoch != first.high)
		return REFUSED_STALE_EPOCH;
	return FORWARDED;
}

static __always_inline enum counter ask_table(const struct tuple *client, struct grant *grant)
{
	struct slot slot = {};
	enum counter reason = copy_endpoint(client, &grant->endpoint, &slot);

	if (reason != FORWARDED)
		return reason;
	if (slot.draining)
		return REFUSED_DRAINING;
	if (!source_allowed(grant->endpoint.slot, client->source, &grant->allow_version))
		return REFUSED_NOT_ALLOWED;
	return choose_backend(client, grant);
}

static __always_inline struct session new_entry(const struct grant *grant, const struct tuple *self,
						const struct tuple *other, enum direction direction)
{
	return (struct session){
		.self = *self,
		.other = *other,
		.slot = grant->endpoint.slot,
		/* From the endpoint and not from the slot: if the slot is bumped at this moment, this session is dead. */
		.epoch = grant->endpoint.epoch,
		.allow_version = grant->allow_version,
		.service = grant->endpoint.service,
		.service_version = grant->service_version,
		.last_seen = seconds_now(),
		.direction = direction,
		.confirmed = direction == FROM_CONSUMER && self->protocol == IPPROTO_UDP,
	};
}

/* Finds a source port that is free towards this backend, and takes it by inserting the provider's entry. */
static __always_inline enum counter take_source_port(const struct packet *packet, const struct grant *grant,
						     struct tuple *provider)
{
	const struct tuple *client = &packet->tuple;
	__u32 hash = hash_tuple(client);

	*provider = (struct tuple){
		.source = grant->backend.address,
		.source_port = grant->server_port,
		.destination = grant->endpoint.source_address,
		.vpc = grant->backend.vpc,
		.protocol = client->protocol,
	};
	for (__u32 candidate = 0; candidate < SOURCE_PORT_CANDIDATES; candidate++) {
		__u32 port = FIRST_SOURCE_PORT + scale(hash3(hash, candidate, 0), SOURCE_PORTS);

		provider->destination_port = bpf_htons(port);
		struct session entry = new_entry(grant, provider, client, FROM_PROVIDER);
		__builtin_memcpy(entry.next_hop, packet->sender, ETH_ALEN);
		long error = bpf_map_update_elem(&sessions, provider, &entry, BPF_NOEXIST);
		if (!error)
			return FORWARDED;
		if (error != -EEXIST)
			return REFUSED_TABLE_FULL;
	}
	return REFUSED_NO_SOURCE_PORT;
}

/* A TCP session begins with a pure SYN, a UDP session with any packet. */
static __always_inline bool opens(const struct packet *packet)
{
	return packet->tuple.protocol == IPPROTO_UDP || (packet->syn && !packet->ack && !packet->fin && !packet->rst);
}

static __always_inline bool is_over(const struct session *session)
{
	struct session *other = bpf_map_lookup_elem(&sessions, &session->other);

	return !other || session->reset || other->reset || (session->finished && other->finished);
}

static __always_inline bool still_allowed(struct session *entry, const struct session *session, __u32 version)
{
	const struct tuple *client = session->direction == FROM_CONSUMER ? &session->self : &session->other;

	if (session->allow_version == version)
		return true;
	if (!source_allowed(session->slot, client->source, &version))
		return false;
	entry->allow_version = version;
	return true;
}

static __always_inline bool still_published(struct session *entry, const struct session *session)
{
	bool from_consumer = session->direction == FROM_CONSUMER;
	const struct tuple *client = from_consumer ? &session->self : &session->other;
	const struct tuple *provider = from_consumer ? &session->other : &session->self;
	__be16 server_port;

	for (int look = 0; look < 2; look++) { /* as in source_allowed() */
		__u32 version = read_service(session->service).low;

		if (session->service_version == version)
			return true;
		if (port_published(session->service, version, client->protocol, client->destination_port,
				   &server_port) &&
		    server_port == provider->source_port) {
			entry->service_version = version;
			return true;
		}
	}
	return false;
}

static __always_inline void note(struct session *entry, const struct packet *packet)
{
	__u32 now = seconds_now();

	if (entry->last_seen != now) /* a store only when needed: the cache line is shared */
		entry->last_seen = now;
	if (!entry->confirmed && (packet->ack || packet->tuple.protocol == IPPROTO_UDP))
		entry->confirmed = 1;
	if (packet->fin)
		entry->finished = 1;
	if (packet->rst)
		entry->reset = 1;
}

/*
 * Where the packet goes if its session is open and its endpoint still stands as it did: the epoch is compared on
 * every packet; whitelist and ports are looked at again when their version has changed.
 *
 * A deleted entry of a preallocated map may be filled anew while it is read here. Its key is therefore in the value
 * too, is written first, and is compared last: what was read before belongs to this packet.
 */
static __noinline enum counter follow_session(const struct packet *packet, struct route *route)
{
	if (!packet || !route)
		return REFUSED_NO_SESSION;
	struct session *entry = bpf_map_lookup_elem(&sessions, &packet->tuple);
	if (!entry)
		return REFUSED_NO_SESSION;
	struct session session = *entry;
	barrier();
	if (!same(&entry->self, &packet->tuple))
		return REFUSED_NO_SESSION;

	struct slot slot = read_slot(session.slot);
	bool stale = session.epoch != slot.epoch;
	if (slot.draining && !stale) {
		/* A SYN may open a connection at the backend, whatever session it belongs to here. */
		if (packet->tuple.protocol == IPPROTO_TCP && opens(packet))
			return REFUSED_DRAINING;
		stale = is_drained(session.slot);
	}
	if (session.direction == FROM_CONSUMER && opens(packet) && (stale || is_over(&session))) {
		bpf_map_delete_elem(&sessions, &session.other);
		bpf_map_delete_elem(&sessions, &session.self);
		return REFUSED_NO_SESSION;
	}
	if (stale)
		return REFUSED_STALE_EPOCH;
	if (!still_allowed(entry, &session, slot.allow_version))
		return REFUSED_NOT_ALLOWED;
	if (!still_published(entry, &session))
		return REFUSED_NO_PORT;
	note(entry, packet);
	route->other = session.other;
	__builtin_memcpy(route->next_hop, session.next_hop, ETH_ALEN);
	return FORWARDED;
}

static __noinline enum counter open_session(const struct packet *packet, struct route *route)
{
	struct grant grant = {};

	if (!packet || !route)
		return REFUSED_NO_SESSION;
	enum counter reason = ask_table(&packet->tuple, &grant);
	if (reason == FORWARDED)
		reason = take_source_port(packet, &grant, &route->other);
	if (reason != FORWARDED)
		return reason;

	struct session entry = new_entry(&grant, &packet->tuple, &route->other, FROM_CONSUMER);
	__builtin_memcpy(entry.next_hop, grant.backend.mac, ETH_ALEN);
	__builtin_memcpy(route->next_hop, grant.backend.mac, ETH_ALEN);
	long error = bpf_map_update_elem(&sessions, &packet->tuple, &entry, BPF_NOEXIST);
	if (!error) {
		count(SESSION_NEW);
		return FORWARDED;
	}
	bpf_map_delete_elem(&sessions, &route->other);
	return error == -EEXIST ? follow_session(packet, route) : REFUSED_TABLE_FULL; /* another CPU was faster */
}

#endif
