/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Opening sessions by the rules of the table, following those that are open, and ending them. Included once for each
 * family: FN(name) is the name of what belongs to it.
 */

/* ---- ending ---------------------------------------------------------------------------------------------------- */

static __always_inline void FN(log_session)(const struct FN(session) *consumer, const struct FN(session) *provider,
					    __u32 end, __u64 now)
{
	struct flow_record record = {
		.client = FN(widen)(consumer->self.source),
		.endpoint = FN(widen)(consumer->self.destination),
		.client_port = consumer->self.source_port,
		.endpoint_port = consumer->self.destination_port,
		.vpc_protocol = consumer->self.vpc_protocol,
		.slot = consumer->flow.slot,
		.epoch = consumer->flow.epoch,
		.end = end,
		.packets = {consumer->flow.packets, provider ? provider->flow.packets : 0},
		.bytes = {consumer->flow.bytes, provider ? provider->flow.bytes : 0},
		.began = consumer->flow.began,
		.ended = now,
	};
	write_record(&record);
}

/* Removes both entries. Who removes the consumer's is the one that counts it. */
__noinline long FN(remove_session)(const struct FN(session) *consumer, __u32 end, __u64 now)
{
	if (!consumer)
		return 0;
	const struct FN(session) *provider = bpf_map_lookup_elem(&FN(sessions), &consumer->other);

	if (consumer->flow.logged)
		FN(log_session)(consumer, provider, end, now);
	bpf_map_delete_elem(&FN(sessions), &consumer->other);
	if (bpf_map_delete_elem(&FN(sessions), &consumer->self))
		return 0;
	end_session(consumer->flow.slot, consumer->flow.epoch);
	return 1;
}

/* ---- following ------------------------------------------------------------------------------------------------- */

static __always_inline bool FN(is_over)(const struct FN(session) *session)
{
	struct FN(session) *other = bpf_map_lookup_elem(&FN(sessions), &session->other);

	return !other || session->flow.reset || other->flow.reset ||
	       (session->flow.finished && other->flow.finished);
}

/*
 * Copies an entry, if it is of this packet. A deleted element of a preallocated map may be filled anew while it is read:
 * the key is therefore in the value too, is written first, and is compared last, so what was read before belongs to it.
 */
static __always_inline bool FN(copy_entry)(const struct FN(session) *entry, const struct FN(tuple) *key,
					   struct FN(session) *copy)
{
	*copy = *entry;
	barrier();
	return FN(same)(&entry->self, key);
}

/*
 * Whether backends learn of clients of this port what a session that began before does not tell. A SYN in it might open
 * another connection at the backend, which would take what the client writes itself for the gateway's word.
 */
static __always_inline bool FN(is_told_otherwise)(const struct FN(session) *session)
{
	__u32 number = session->flow.service, version = read_service(number).version;
	const struct port *port = find_port(number, version, session->self.vpc_protocol & 0xff,
					    session->self.destination_port);
	__u8 identity = port ? port->identity : IDENTITY_NONE;

	barrier();
	if (read_service(number).version != version)
		return false;
	if (identity == IDENTITY_PROXY && read_proxy(session->flow.slot) == number)
		return false;
	return identity != IDENTITY_NONE && identity != session->flow.identity;
}

/*
 * Removes a consumer's session if it is cut or closed, or does not tell what it should, so that what comes now opens
 * another; answers whether it did.
 */
__noinline bool FN(give_way)(const struct FN(session) *entry, const struct FN(tuple) *key, bool stale)
{
	struct desk *desk = find_desk();

	if (!entry || !key || !desk || !FN(copy_entry)(entry, key, &desk->FN(session)))
		return true;
	if (!stale && !FN(is_over)(&desk->FN(session)) && !FN(is_told_otherwise)(&desk->FN(session)))
		return false;
	FN(remove_session)(&desk->FN(session), stale ? FLOW_CUT : FLOW_CLOSED, now_ns());
	return true;
}

static __always_inline enum counter FN(still_allowed)(struct FN(session) *entry, const struct FN(session) *session,
						      struct client *client)
{
	bool from_consumer = session->flow.direction == FROM_CONSUMER;
	const struct FN(tuple) *tuple = from_consumer ? &session->self : &session->other;
	__u32 version;

	client->source = FN(widen)(tuple->source);
	client->destination = FN(widen)(tuple->destination);
	client->destination_port = tuple->destination_port;
	client->protocol = tuple->vpc_protocol & 0xff;
	enum counter reason = admit(client, session->flow.slot, &version);
	if (reason == FORWARDED)
		entry->flow.allow_version = version;
	return reason;
}

/*
 * Sessions stay with the way that they began: a proxy's goes on while the port is published, whatever its identity is now,
 * and so does one whose port has a proxy by now.
 */
static __always_inline bool FN(still_published)(struct FN(session) *entry, const struct FN(session) *session)
{
	bool from_consumer = session->flow.direction == FROM_CONSUMER;
	const struct FN(tuple) *client = from_consumer ? &session->self : &session->other;
	const struct FN(tuple) *provider = from_consumer ? &session->other : &session->self;

	for (int look = 0; look < 2; look++) { /* as in admit() */
		__u32 version = read_service(session->flow.service).version;

		if (session->flow.service_version == version)
			return true;
		const struct port *port = find_port(session->flow.service, version, client->vpc_protocol & 0xff,
						    client->destination_port);
		if (port && (session->flow.identity == IDENTITY_PROXY || port->server_port == provider->source_port)) {
			entry->flow.service_version = version;
			return true;
		}
	}
	return false;
}

/* What has changed since the session last passed a packet, looked at again. */
__noinline __u32 FN(look_again)(struct FN(session) *entry, const struct FN(tuple) *key, __u32 allow_version)
{
	struct desk *desk = find_desk();

	if (!entry || !key || !desk || !FN(copy_entry)(entry, key, &desk->FN(session)))
		return REFUSED_NO_SESSION;
	const struct FN(session) *session = &desk->FN(session);
	if (session->flow.allow_version != allow_version) {
		enum counter reason = FN(still_allowed)(entry, session, &desk->client);
		if (reason != FORWARDED)
			return reason;
	}
	return FN(still_published)(entry, session) ? FORWARDED : REFUSED_NO_PORT;
}

/* The clock is a call, and jiffies are a load: so it is read again only when a tick has passed. */
static __always_inline void FN(note)(struct FN(session) *entry, const struct FN(packet) *packet)
{
	__u32 tick = bpf_jiffies64();
	__u8 flags = packet->transport.flags;

	if (entry->flow.tick != tick) {
		__u32 now = now_ns() / NANOSECONDS;

		entry->flow.tick = tick;
		if (entry->flow.last_seen != now) /* a store only when needed: the cache line is shared */
			entry->flow.last_seen = now;
	}
	if (!entry->flow.confirmed && (flags & ACK || packet->transport.protocol == IPPROTO_UDP))
		entry->flow.confirmed = 1;
	if (flags & (FIN | RST)) {
		if (flags & FIN)
			entry->flow.finished = 1;
		if (flags & RST)
			entry->flow.reset = 1;
	}
}

/*
 * Where the packet goes if its session is open and its endpoint still stands as it did: the epoch is compared on
 * every packet; whitelist and ports are looked at again when their version has changed. The key is compared after
 * all that is taken from the entry: see copy_entry().
 */
static __always_inline enum counter FN(follow)(struct __sk_buff *skb, struct FN(packet) *packet, struct FN(route) *route)
{
	const struct transport *transport = &packet->transport;
	struct FN(session) *entry = bpf_map_lookup_elem(&FN(sessions), &packet->tuple);

	if (!entry)
		return REFUSED_NO_SESSION;
	__u32 number = entry->flow.slot, epoch = entry->flow.epoch, service_number = entry->flow.service;
	__u32 allow_version = entry->flow.allow_version, service_version = entry->flow.service_version;
	__u8 direction = entry->flow.direction, logged = entry->flow.logged;
	route->other = entry->other;
	route->address_sum = entry->flow.address_sum;
	route->port_sum = entry->flow.port_sum;
	__builtin_memcpy(route->next_hop, entry->flow.next_hop, ETH_ALEN);
	barrier();
	if (!FN(same)(&entry->self, &packet->tuple))
		return REFUSED_NO_SESSION;
	/* Only consumers open connections: a client may listen where it connects from. */
	if (direction == FROM_PROVIDER && asks_for_connection(transport))
		return REFUSED_NO_SESSION;

	struct slot slot = read_slot(number);
	bool stale = epoch != slot.epoch;
	packet->slot = stale ? 0 : number;
	if (slot.draining && !stale) {
		/* A SYN may open a connection at the backend, whatever session it belongs to here. */
		if (is_pure_syn(transport))
			return REFUSED_DRAINING;
		stale = is_drained(number);
	}
	if (direction == FROM_CONSUMER && (is_pure_syn(transport) || (stale && opens(transport))) &&
	    FN(give_way)(entry, &packet->tuple, stale))
		return REFUSED_NO_SESSION;
	if (stale)
		return REFUSED_STALE_EPOCH;
	struct service service = read_service(service_number);
	if (allow_version != slot.allow_version || service_version != service.version) {
		enum counter reason = FN(look_again)(entry, &packet->tuple, slot.allow_version);
		if (reason != FORWARDED)
			return reason;
	}
	__u32 packets = packets_of(skb);
	__u64 bytes = bytes_of(skb, transport, packets);
	if (service.metered && !within_rate(number, service_number, service.version, bytes))
		return REFUSED_LIMIT_RATE;
	FN(note)(entry, packet);
	count_packets(number, direction, packets, bytes);
	if (logged) {
		__sync_fetch_and_add(&entry->flow.packets, packets);
		__sync_fetch_and_add(&entry->flow.bytes, bytes);
	}
	return FORWARDED;
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

/*
 * Fills in what an entry whose keys are there has from its grant. The sums are what rewriting adds to a checksum, in which
 * it does not matter that source and destination change places.
 */
static __always_inline void FN(fill_entry)(struct FN(session) *entry, const struct grant *grant,
					   enum direction direction)
{
	struct FN(tuple) *self = &entry->self, *other = &entry->other;

	entry->flow.direction = direction;
	entry->flow.identity = grant->identity;
	entry->flow.address_sum =
		checksum_difference(&self->source, &other->source, 2 * sizeof(self->source) / sizeof(__be32));
	entry->flow.port_sum = checksum_difference(&self->source_port, &other->source_port, 1);
	entry->flow.slot = grant->endpoint.slot;
	/* From the endpoint and not from the slot: if the slot is bumped at this moment, this session is dead. */
	entry->flow.epoch = grant->endpoint.epoch;
	entry->flow.allow_version = grant->allow_version;
	entry->flow.service = grant->endpoint.service;
	entry->flow.service_version = grant->service_version;
}

static __always_inline __u32 FN(take)(const struct grant *grant, struct FN(session) *entry)
{
	FN(fill_entry)(entry, grant, FROM_PROVIDER);
	long error = bpf_map_update_elem(&FN(sessions), &entry->self, entry, BPF_NOEXIST);

	if (!error)
		return FORWARDED;
	return error == -EEXIST ? REFUSED_NO_SOURCE_PORT : REFUSED_TABLE_FULL;
}

/*
 * Finds a source port that is free towards this backend, and takes it by inserting the provider's entry. Any is as likely
 * as any other, so that nobody can tell the next one. Where the source is kept, there is one way only.
 */
__noinline __u32 FN(take_source_port)(const struct grant *grant, struct FN(session) *entry,
					     const struct FN(tuple) *client)
{
	if (!grant || !entry || !client)
		return REFUSED_NO_SESSION;
	entry->other = *client;
	entry->self.source = FN(narrow)(&grant->backend.address);
	entry->self.source_port = grant->server_port;
	entry->self.vpc_protocol = grant->backend.vpc << 8 | (client->vpc_protocol & 0xff);
	if (grant->keeps_source) {
		entry->self.destination = client->source;
		entry->self.destination_port = client->source_port;
		return FN(take)(grant, entry);
	}
	for (int candidate = 0; candidate < SOURCE_PORT_CANDIDATES; candidate++) {
		__u32 random = bpf_get_prandom_u32();

		entry->self.destination = FN(source_address)(pick_source(grant, hash3(random, candidate, 0)));
		entry->self.destination_port = bpf_htons(FIRST_SOURCE_PORT + scale(random, SOURCE_PORTS));
		__u32 reason = FN(take)(grant, entry);
		if (reason != REFUSED_NO_SOURCE_PORT)
			return reason;
	}
	return REFUSED_NO_SOURCE_PORT;
}

/* Whether the session is there now: whoever has made it. */
__noinline __u32 FN(open)(const struct FN(packet) *packet, const struct grant *grant, struct FN(session) *entry)
{
	if (!packet || !grant || !entry)
		return REFUSED_NO_SESSION;
	struct usage *usage = usage_of(grant->endpoint.slot);
	if (!usage)
		return REFUSED_TABLE_FULL;
	if (!may_open(usage, grant->new_connections_per_second))
		return REFUSED_LIMIT_NEW;
	enum counter reason = begin_session(usage, grant->endpoint.epoch, grant->connections);
	if (reason != FORWARDED)
		return reason;

	*entry = (struct FN(session)){};
	entry->flow.began = now_ns();
	entry->flow.last_seen = entry->flow.began / NANOSECONDS;
	entry->flow.logged = is_sampled();
	__builtin_memcpy(entry->flow.next_hop, packet->sender, ETH_ALEN);
	reason = FN(take_source_port)(grant, entry, &packet->tuple);
	if (reason == FORWARDED) {
		entry->other = entry->self;
		entry->self = packet->tuple;
		__builtin_memcpy(entry->flow.next_hop, grant->backend.mac, ETH_ALEN);
		FN(fill_entry)(entry, grant, FROM_CONSUMER);
		long error = bpf_map_update_elem(&FN(sessions), &packet->tuple, entry, BPF_NOEXIST);
		if (!error) {
			count_session(grant->endpoint.slot);
			return FORWARDED;
		}
		bpf_map_delete_elem(&FN(sessions), &entry->other);
		reason = error == -EEXIST ? FORWARDED : REFUSED_TABLE_FULL; /* another CPU was faster */
	}
	end_session(grant->endpoint.slot, grant->endpoint.epoch);
	return reason;
}

__noinline __u32 FN(ask_and_open)(struct FN(packet) *packet)
{
	struct desk *desk = find_desk();

	if (!packet || !desk)
		return REFUSED_NO_SESSION;
	struct client *client = &desk->client;
	client->source = FN(widen)(packet->tuple.source);
	client->destination = FN(widen)(packet->tuple.destination);
	client->source_port = packet->tuple.source_port;
	client->destination_port = packet->tuple.destination_port;
	client->protocol = packet->tuple.vpc_protocol & 0xff;
	client->vpc = packet->tuple.vpc_protocol >> 8;
	client->hash = FN(hash_tuple)(&packet->tuple);
	__u32 reason = ask_table(client, &desk->grant, &packet->slot);
	if (reason == FORWARDED)
		reason = choose(client, &desk->grant);

	if (reason == FORWARDED)
		reason = FN(open)(packet, &desk->grant, &desk->FN(session));
	if (reason != FORWARDED && packet->slot && is_sampled())
		log_refusal(desk, packet->slot, reason);
	return reason;
}

/*
 * Tells the backend who the client is, where its port asks for that: by the SYN's addresses as they came, before they are
 * rewritten. Looks the session up once more, so that other packets have nothing to do with it. False if the packet is not
 * what it says.
 */
__noinline bool FN(introduce)(struct __sk_buff *skb, struct FN(packet) *packet, bool may_grow)
{
	struct desk *desk = find_desk();

	if (!desk || !packet)
		return false;
	struct FN(session) *entry = bpf_map_lookup_elem(&FN(sessions), &packet->tuple);
	if (!entry || entry->flow.direction != FROM_CONSUMER || entry->flow.identity != IDENTITY_TOA)
		return true;
	barrier();
	if (!FN(same)(&entry->self, &packet->tuple))
		return true;
	__u8 *option = desk->toa.option;
	option[0] = OPTION_TOA;
	option[1] = TOA_ADDRESS + sizeof(packet->tuple.source);
	__builtin_memcpy(option + 2, &packet->transport.source_port, sizeof(packet->transport.source_port));
	__builtin_memcpy(option + TOA_ADDRESS, &packet->tuple.source, sizeof(packet->tuple.source));
	packet->transport.header = write_toa(skb, packet->transport.network, packet->transport.header, may_grow);
	return packet->transport.header;
}

/* Where a packet goes, whether it is of a session already or opens one. */
static __always_inline enum counter FN(let_in)(struct __sk_buff *skb, struct FN(packet) *packet, struct FN(route) *route)
{
	enum counter reason = FN(follow)(skb, packet, route);

	if (reason != REFUSED_NO_SESSION || !opens(&packet->transport))
		return reason;
	reason = FN(ask_and_open)(packet);
	return reason == FORWARDED ? FN(follow)(skb, packet, route) : reason;
}
