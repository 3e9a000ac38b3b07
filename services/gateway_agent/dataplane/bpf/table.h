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
	struct address address; /* of the endpoint: for one with routes not always the client's destination */
	struct backend backend;
	__be16 server_port;
	bool keeps_source;
	__u8 identity; /* enum identity */
	__u32 target; /* the service that has the backends: the endpoint's, or its proxy */
	__u32 allow_version;
	__u32 service_version;
	__u32 sources; /* how many further ones there are */
	__u64 connections; /* limits */
	__u64 new_connections_per_second;
};

/* What the rules of an endpoint with routes say to the client's destination and port. */
static __always_inline enum counter ask_rules(const struct allowed_key *key, const struct client *client)
{
	const volatile __u32 *found = bpf_map_lookup_elem(&rules, key);
	__u32 rule = found ? *found : 0;

	if (!found)
		return REFUSED_NO_ENDPOINT;
	if (rule & RULE_DENIES)
		return REFUSED_DENIED;
	struct rule_port port = {.slot = key->slot,
				 .version = key->version,
				 .place = rule & RULE_PLACE,
				 .client_port = client->destination_port,
				 .protocol = client->protocol};
	return !(rule & RULE_HAS_PORTS) || bpf_map_lookup_elem(&rule_ports, &port) ? FORWARDED : REFUSED_DENIED;
}

/*
 * Whether the whitelist lets the client in, and the routes, where there are some, let it go where it wants to: both of one
 * version, which is told. Looks twice: the agent deletes a version of a list as soon as it has published the next. A rule
 * is a value, and so is this endpoint's only if the version is still the same when it has been read.
 */
__noinline __u32 admit(const struct client *client, __u32 number, __u32 *version)
{
	enum counter reason = REFUSED_NOT_ALLOWED;
	struct allowed_key key = {.prefix_length = ALLOWED_HOST_PREFIX, .slot = number};

	if (!client || !version)
		return reason;
	for (int look = 0; look < 2; look++) {
		struct slot now = read_slot(number);

		reason = REFUSED_NOT_ALLOWED;
		*version = key.version = now.allow_version;
		key.address = client->source;
		if (!now.everybody && !bpf_map_lookup_elem(&allowed, &key))
			continue;
		if (!now.routed)
			return FORWARDED;
		key.address = client->destination;
		reason = ask_rules(&key, client);
		barrier();
		if (read_slot(number).allow_version == now.allow_version)
			return reason;
	}
	return reason == FORWARDED ? REFUSED_NOT_ALLOWED : reason;
}

static __always_inline const struct port *find_port(__u32 service, __u32 version, __u32 protocol, __be16 client_port)
{
	struct port_key key = {
		.service = service, .version = version, .protocol = protocol, .client_port = client_port};

	return bpf_map_lookup_elem(&ports, &key);
}

static __always_inline __u32 read_proxy(__u32 slot)
{
	const volatile __u64 *found = bpf_map_lookup_elem(&proxies, &slot);

	return found ? (__u32)*found : 0;
}

/* Whom a session goes to depends on all of its tuple, or on who asks which endpoint. */
static __always_inline __u32 hash_for_backend(const struct client *client, const struct grant *grant, bool affinity)
{
	if (!affinity)
		return client->hash;
	return hash3(hash_address(&client->source), hash_address(&grant->address), client->vpc);
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

/*
 * What the endpoint's own service says: limits, and who takes the session, which is a proxy where the port has one. The
 * version that was read is in the grant.
 */
__noinline __u32 choose_target(const struct client *client, struct grant *grant)
{
	if (!client || !grant)
		return REFUSED_NO_PORT;
	__u32 number = grant->endpoint.service, version = read_service(number).version;
	const struct port *port = find_port(number, version, client->protocol, client->destination_port);

	grant->service_version = version;
	if (!port)
		return REFUSED_NO_PORT;
	grant->server_port = port->server_port;
	grant->identity = port->identity;
	grant->target = number;
	const struct settings *settings = find_settings(number, version);
	if (!settings)
		return REFUSED_NO_BACKEND;
	grant->connections = settings->connections;
	grant->new_connections_per_second = settings->new_connections_per_second;
	if (grant->identity != IDENTITY_PROXY)
		return FORWARDED;
	grant->target = read_proxy(grant->endpoint.slot);
	if (grant->target == number) /* from the proxy: its backends are to have it */
		grant->identity = IDENTITY_NONE;
	return grant->target ? FORWARDED : REFUSED_NO_PROXY;
}

/* A backend of the target. A proxy has the port under a mapping of its own. */
__noinline __u32 choose_backend(const struct client *client, struct grant *grant)
{
	if (!client || !grant)
		return REFUSED_NO_BACKEND;
	bool proxied = grant->identity == IDENTITY_PROXY;
	enum counter reason = proxied ? REFUSED_NO_PROXY : REFUSED_NO_BACKEND;
	__u32 number = grant->target;
	struct service service = read_service(number);
	const struct settings *settings = find_settings(number, service.version);

	if (!settings || !service.takers)
		return reason;
	grant->keeps_source = settings->flags & KEEPS_SOURCE;
	if (proxied) {
		const struct port *port =
			find_port(number, service.version, client->protocol, client->destination_port);
		if (!port)
			return reason;
		grant->server_port = port->server_port;
	}
	__u32 hash = hash_for_backend(client, grant, settings->flags & AFFINITY_SOURCE_ADDRESS);
	struct backend_key key = {
		.service = number, .version = service.version, .index = share_of(number, &service, hash)};
	struct backend *backend = bpf_map_lookup_elem(&backends, &key);
	if (!backend)
		return reason;
	grant->backend = *backend;
	barrier();
	/* A deleted element may hold another service's at once; none was deleted before this has changed. */
	if (read_service(number).version != service.version)
		return reason;
	/* A proxy's number may be another service's at once; it was not before this has changed. */
	return !proxied || read_proxy(grant->endpoint.slot) == number ? FORWARDED : reason;
}

/* Where the session goes that ask_table() has let the client have. */
static __always_inline __u32 choose(const struct client *client, struct grant *grant)
{
	enum counter reason = REFUSED_NO_PORT;

	for (int look = 0; look < 2; look++) { /* as in admit() */
		reason = choose_target(client, grant);
		if (reason != FORWARDED)
			continue;
		reason = choose_backend(client, grant);
		if (reason == FORWARDED && read_service(grant->endpoint.service).version == grant->service_version)
			return FORWARDED;
	}
	return reason == FORWARDED ? REFUSED_NO_BACKEND : reason;
}

/* The element of the endpoint at an address, or of the one that a route of the VPC leads to; `range` then has its own. */
static __always_inline struct endpoint *find_element(struct range *range)
{
	struct endpoint *element = bpf_map_lookup_elem(&endpoints, &range->first);
	struct address *stands = element ? NULL : bpf_map_lookup_elem(&routes, range);

	if (!stands)
		return element;
	range->first.address = *stands;
	return bpf_map_lookup_elem(&endpoints, &range->first);
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
__noinline __u32 copy_endpoint(const struct client *client, struct grant *grant, struct slot *slot)
{
	if (!client || !grant || !slot)
		return REFUSED_NO_ENDPOINT;
	struct range range = range_of(client->vpc, &client->destination);
	struct endpoint *element = find_element(&range);

	if (!element)
		return REFUSED_NO_ENDPOINT;
	struct pair first = read_pair((const __u64 *)element);
	if (read_slot(first.low).epoch != first.high)
		return REFUSED_STALE_EPOCH;
	barrier();
	grant->endpoint = *element;
	grant->address = range.first.address;
	barrier();
	if (bpf_map_lookup_elem(&endpoints, &range.first) != element)
		return REFUSED_STALE_EPOCH;
	struct pair second = read_pair((const __u64 *)element);
	*slot = read_slot(second.low);
	if (second.low != first.low || second.high != first.high || slot->epoch != first.high)
		return REFUSED_STALE_EPOCH;
	/* A hint may be old, and lead to whoever has the address now: who has no rules has no address but that one. */
	return slot->routed || same_address(&range.first.address, &client->destination) ? FORWARDED : REFUSED_NO_ENDPOINT;
}

/* An address that no machine of a VPC has: this host's, nobody's, one of ours. */
__noinline bool is_spoofed(const struct client *client)
{
	if (!client)
		return true;
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
	return is_endpoints(client->vpc, &client->source);
}

static __always_inline __u32 read_sources(__u32 slot)
{
	const volatile __u64 *found = bpf_map_lookup_elem(&source_counts, &slot);

	return found ? (__u32)*found : 0;
}

/* Whether the client may connect. `slot` is told as soon as it is known, so that a refusal has somebody to be counted for. */
__noinline __u32 ask_table(const struct client *client, struct grant *grant, __u32 *number)
{
	if (!client || !grant || !number)
		return REFUSED_NO_SESSION;
	struct slot slot = {};
	enum counter reason = copy_endpoint(client, grant, &slot);

	if (reason != FORWARDED)
		return reason;
	*number = grant->endpoint.slot;
	if (slot.draining)
		return REFUSED_DRAINING;
	if (is_spoofed(client))
		return REFUSED_SPOOFED;
	reason = admit(client, grant->endpoint.slot, &grant->allow_version);
	if (reason != FORWARDED)
		return reason;
	grant->sources = read_sources(grant->endpoint.slot);
	return FORWARDED;
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
