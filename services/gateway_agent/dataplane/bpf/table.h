/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the table says to a client that wants to open a session, whatever its family. */
#ifndef SIDEGATE_TABLE_H
#define SIDEGATE_TABLE_H

#include "hash.h"
#include "packet.h"

#define SOURCE_RANGE bpf_htonl(0xc6138000) /* 198.19.128.0 */
#define SOURCE_RANGE_MASK bpf_htonl(0xffff8000)

/* A session that is wanted: who asks, for what. */
struct client {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u32 vpc;
	__u32 hash; /* of the whole tuple */
};

/* What the table says to a client that may connect. */
struct grant {
	struct endpoint endpoint;
	struct backend backend;
	__be16 server_port;
	__u32 allow_version;
	__u32 service_version;
	__u32 sources; /* how many further ones there are */
	__u64 connections; /* limits */
	__u64 new_connections_per_second;
};

/* Looks twice: the agent deletes a version of a list as soon as it has published the next. */
static __always_inline bool source_allowed(__u32 slot, const struct address *source, __u32 *version)
{
	for (int look = 0; look < 2; look++) {
		struct slot now = read_slot(slot);
		struct allowed_key key = {.prefix_length = ALLOWED_HOST_PREFIX, .slot = slot, .source = *source};

		*version = key.version = now.allow_version;
		if (now.everybody || bpf_map_lookup_elem(&allowed, &key))
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

/* Whom a session goes to depends on all of its tuple, or on who asks. */
static __always_inline __u32 hash_for_backend(const struct client *client, bool affinity)
{
	if (!affinity)
		return client->hash;
	return hash3(hash_address(&client->source), hash_address(&client->destination), client->vpc);
}

/* A number below the count of backends that take new sessions; beyond them where the agent has just turned to another. */
static __always_inline __u32 share_of(__u32 number, const struct service *service, __u32 hash)
{
	struct versioned key = {.service = number, .version = service->version};
	__u32 slot = scale(hash, SHARE_SLOTS);

	if (service->takers == 1)
		return 0;
	struct shares *found = bpf_map_lookup_elem(&shares, &key);
	return found && slot < SHARE_SLOTS ? found->backends[slot] : service->takers;
}

static __always_inline enum counter choose_backend(const struct client *client, struct grant *grant)
{
	enum counter reason = REFUSED_NO_PORT;

	for (int look = 0; look < 2; look++) { /* as in source_allowed() */
		__u32 number = grant->endpoint.service;
		struct service service = read_service(number);

		grant->service_version = service.version;
		if (!port_published(number, service.version, client->protocol, client->destination_port,
				    &grant->server_port))
			continue;
		reason = REFUSED_NO_BACKEND;
		const struct settings *settings = find_settings(number, service.version);
		if (!settings || !service.takers)
			continue;
		grant->connections = settings->connections;
		grant->new_connections_per_second = settings->new_connections_per_second;
		__u32 hash = hash_for_backend(client, settings->flags & AFFINITY_SOURCE_ADDRESS);
		struct backend_key key = {
			.service = number, .version = service.version, .index = share_of(number, &service, hash)};
		struct backend *backend = bpf_map_lookup_elem(&backends, &key);
		if (!backend)
			continue;
		grant->backend = *backend;
		barrier();
		/* A deleted element may hold another service's at once; none was deleted before this has changed. */
		if (read_service(number).version == service.version)
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
static __always_inline enum counter copy_endpoint(const struct client *client, struct endpoint *copy, struct slot *slot)
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

/* An address that no machine of a VPC has: this host's, nobody's, one of ours. */
static __always_inline bool is_spoofed(const struct client *client)
{
	struct endpoint_key key = {.vpc = client->vpc, .address = client->source};

	if (is_mapped(&client->source)) {
		__be32 source = client->source.word[3];
		__u8 network = bpf_ntohl(source) >> 24;

		if (network == 0 || network == 127 || (source & SOURCE_RANGE_MASK) == SOURCE_RANGE)
			return true;
	} else {
		const __be32 *word = client->source.word;

		if (!word[0] && !word[1]) /* ::, ::1, and what only looks like IPv4 */
			return true;
		if (word[0] == SOURCE_PREFIX6_0 && word[1] == SOURCE_PREFIX6_1)
			return true;
	}
	return bpf_map_lookup_elem(&endpoints, &key);
}

static __always_inline __u32 read_sources(__u32 slot)
{
	const volatile __u64 *found = bpf_map_lookup_elem(&source_counts, &slot);

	return found ? (__u32)*found : 0;
}

/* `slot` is told as soon as it is known, so that a refusal has somebody to be counted for. */
__noinline __u32 ask_table(const struct client *client, struct grant *grant, __u32 *number)
{
	if (!client || !grant || !number)
		return REFUSED_NO_SESSION;
	struct slot slot = {};
	enum counter reason = copy_endpoint(client, &grant->endpoint, &slot);

	if (reason != FORWARDED)
		return reason;
	*number = grant->endpoint.slot;
	if (slot.draining)
		return REFUSED_DRAINING;
	if (is_spoofed(client))
		return REFUSED_SPOOFED;
	if (!source_allowed(grant->endpoint.slot, &client->source, &grant->allow_version))
		return REFUSED_NOT_ALLOWED;
	grant->sources = read_sources(grant->endpoint.slot);
	return choose_backend(client, grant);
}

/* The leased address of one of the endpoint's sources, by a hash, the first where the agent is just
 * taking it away. */
static __always_inline __be32 pick_source(const struct grant *grant, __u32 hash)
{
	__u32 index = grant->sources ? scale(hash, grant->sources + 1) : 0;
	struct source_key key = {.slot = grant->endpoint.slot, .index = index};

	if (!index)
		return grant->endpoint.source_address;
	__be32 *found = bpf_map_lookup_elem(&more_sources, &key);
	return found ? *found : grant->endpoint.source_address;
}

#endif
