"""What is known to hold back figures that miss their aim: by the beginnings of their names."""

from collections.abc import Mapping

CALLS = (
    "Nothing waits for a clock on this way, but what stands on it takes turns on two processors with the client that "
    "asks and the one that tries"
)

HINDRANCES: Mapping[tuple[str, ...], str] = {
    ("store_append_1_",): (
        "One command is one commit: a sync of the disk, and the way to the writing thread and back with seven "
        "statements, about 0.2 ms of Python. Whoever does not wait for each answer has the figures of 64 and 256"
    ),
    ("store_append_64_", "store_append_256_"): (
        "About 40 µs of Python an event, a third of it in the database's driver, the rest the rules, the hash chain "
        "and the caller's event loop, which share one interpreter"
    ),
    ("store_scan_",): "The driver's own rows are more than half of the time, making events of them the rest",
    ("verify",): "One SHA-256 over every column of every event, in one thread",
    ("commands_",): (
        "The endpoint service is one Python process with one interpreter: commands_cpu says how much of a processor a "
        "command takes there, of which gRPC with TLS takes as much as the echo does, and publishing each event three "
        "times (the log, and a view for either side) about a fifth. NATS, the other programs and the client share "
        "what is left of two processors"
    ),
    ("past_replay", "past_read_model"): (
        "One thread of Python: more than half of it the driver's rows, the rest the last event of each endpoint in a "
        "page, and the read table's rows with their six indices"
    ),
    ("stored_",): (
        "A page of 100 is 100 endpoints read from the bytes of their last events and written into an answer, while "
        "two systems' heartbeats take their turns on the same processors"
    ),
    ("commit_to_agent",): "A sync of the disk, the relay's read, JetStream with a file of its own, a pull consumer",
    ("create_to_first_byte",): (
        f"Two commits one after another (the address in the registry, then the endpoint), NATS, the kernel. {CALLS}"
    ),
    ("accept_to_first_byte",): f"A commit, NATS, the kernel, an announcement of the address. {CALLS}",
    ("delete_to_address_free",): (
        "Four commits one after another: the deletion, the gateway's word that nothing is left, the release in the "
        f"registry, the next reservation; NATS in between. {CALLS}"
    ),
    ("bulk_1_stream_1", "round_trips_1", "connections_1"): (
        "Few rounds of what both ends' stacks take turns in, which varies by a third; packet_cost of the same, in "
        "processor time, shows no difference"
    ),
    ("fill_rate",): (
        "One processor makes the handshakes, forwards them and answers them. Of a session's time two insertions into "
        "the kernel's hash table and seven look-ups in the maps of the table are the larger part"
    ),
    ("agent_start_100k",): (
        "Python makes 100,000 entries of the kernel's bytes, as many of what it was told, and compares them: 40 µs for "
        "each, in one interpreter"
    ),
    ("bulk_mtu",): (
        "A packet costs the gateway a third of what routing costs it, but each costs the ends' stacks, on the same two "
        "processors, several times as much as either"
    ),
    ("bulk_", "round_trips", "connections"): (
        "The copies and the stacks at both ends, on the same two processors, are the larger part of all three; to open "
        "a session costs what the packets after it save"
    ),
}
