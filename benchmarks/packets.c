// Raw packets from one processor: a flood, handshakes, and packets that are numbered. Answers are one line of JSON.
//
//   packets flood DEVICE MAC SOURCE TARGET PORT FLOWS SECONDS      UDP in frames of 64 bytes, FLOWS source ports in turn
//   packets open  DEVICE MAC SOURCE SOURCES TARGET TARGETS PORT FIRST END   SYN, and ACK: the sessions FIRST to END - 1
//   packets touch DEVICE MAC SOURCE SOURCES TARGET TARGETS PORT FIRST END COUNT   so many ACKs, of each of them in turn
//   packets beat  TARGET PORT MICROSECONDS                         numbered UDP packets until a line or the end of stdin
//   packets stamp ADDRESS PORT                                     hears them; at each line of stdin it says how many it has
//
// MAC is of the next hop. SOURCES and TARGETS are how many consecutive addresses there are: see frame_of_session() for
// which session has which. `nanoseconds` is what a packet took of the processor, whoever else ran on it meanwhile: the
// kernel forwards on the processor of the sender, in the sender's time. Moments are nanoseconds since the epoch.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 64, HANDSHAKE = 54, BATCH = 64, WINDOW = 256, FIRST_PORT = 1024, PORTS = 60000, FLOOD_FIRST_PORT = 2000 };
enum { CLIENT_SEQUENCE = 2000, SERVER_SEQUENCE = 1000 }; // as far_end.bpf.c has it
enum { CLOCK_EVERY = 16 };                               // batches
enum { STRIDE = 7919 };                                  // a prime: all sessions have their turn

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	union {
		struct udphdr udp;
		struct tcphdr tcp;
	};
	uint8_t rest[FRAME - HANDSHAKE];
} __attribute__((packed));
_Static_assert(sizeof(struct frame) == FRAME, "without the four bytes at its end that no veth has");

static int device; // the packet socket
static struct frame blank;
static struct frame frames[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static void fail(const char *what)
{
	fprintf(stderr, "packets: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t nanoseconds(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static uint32_t sum_of(const void *start, int length)
{
	const uint16_t *words = start;
	uint32_t sum = 0;
	for (int n = 0; n < length / 2; n++)
		sum += words[n];
	return sum;
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static void open_device(const char *name, const char *mac)
{
	struct ifreq request = {0};
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	int one = 1, room = 1 << 26;
	uint8_t *hop = blank.eth.h_dest;

	device = socket(AF_PACKET, SOCK_RAW, 0); // 0: it hears nothing
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	to.sll_ifindex = if_nametoindex(name);
	if (device < 0 || !to.sll_ifindex || ioctl(device, SIOCGIFHWADDR, &request) ||
	    bind(device, (void *)&to, sizeof to) ||
	    setsockopt(device, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one))
		fail(name);
	setsockopt(device, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
	if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", hop, hop + 1, hop + 2, hop + 3, hop + 4, hop + 5) != 6)
		fail("MAC address");
	memcpy(blank.eth.h_source, request.ifr_hwaddr.sa_data, ETH_ALEN);
	blank.eth.h_proto = htons(ETH_P_IP);
	blank.ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .frag_off = htons(IP_DF)};
	for (int n = 0; n < BATCH; n++) {
		parts[n].iov_base = &frames[n];
		messages[n].msg_hdr.msg_iov = &parts[n];
		messages[n].msg_hdr.msg_iovlen = 1;
	}
}

// The headers' lengths and checksums, when all else is there.
static void finish(int number, int length)
{
	struct frame *frame = &frames[number];
	int segment = length - sizeof frame->eth - sizeof frame->ip;
	uint32_t pseudo;

	parts[number].iov_len = length;
	frame->ip.tot_len = htons(length - sizeof frame->eth);
	frame->ip.check = 0;
	frame->ip.check = folded(sum_of(&frame->ip, sizeof frame->ip));
	pseudo = sum_of(&frame->ip.saddr, 8) + htons(frame->ip.protocol) + htons(segment);
	if (frame->ip.protocol == IPPROTO_TCP) {
		frame->tcp.check = folded(pseudo + sum_of(&frame->tcp, segment));
	} else {
		frame->udp.len = htons(segment);
		frame->udp.check = folded(pseudo + sum_of(&frame->udp, segment));
	}
}

static void send_frames(int count)
{
	for (int sent = 0; sent < count;) {
		int more = sendmmsg(device, messages + sent, count - sent, 0);
		if (more > 0)
			sent += more;
		else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			fail("sendmmsg");
	}
}

static int flood(char **words)
{
	int flows = atoi(words[5]), ready = 0;
	long sent = 0;

	open_device(words[0], words[1]);
	if (flows < 1 || flows % BATCH) {
		fprintf(stderr, "packets: flows must be a multiple of %d\n", BATCH);
		return 2;
	}
	int64_t began = nanoseconds(CLOCK_MONOTONIC), used = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
	int64_t end = began + (int64_t)(atof(words[6]) * 1e9);
	while (nanoseconds(CLOCK_MONOTONIC) < end) {
		for (int batch = 0; batch < CLOCK_EVERY; batch++) {
			for (int n = 0; n < BATCH && (flows > BATCH || ready < BATCH); n++, ready++) {
				frames[n] = blank;
				frames[n].ip.protocol = IPPROTO_UDP;
				frames[n].ip.saddr = inet_addr(words[2]);
				frames[n].ip.daddr = inet_addr(words[3]);
				frames[n].udp.source = htons(FLOOD_FIRST_PORT + (sent + n) % flows);
				frames[n].udp.dest = htons(atoi(words[4]));
				frames[n].udp.check = 0;
				finish(n, FRAME);
			}
			send_frames(BATCH);
			sent += BATCH;
		}
	}
	used = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - used;
	double took = (nanoseconds(CLOCK_MONOTONIC) - began) / 1e9;
	printf("{\"sent\": %ld, \"rate\": %.0f, \"nanoseconds\": %.2f}\n", sent, sent / took, (double)used / sent);
	return 0;
}

// ---- handshakes

struct range {
	uint32_t source, sources, target, targets; // in host order
	uint16_t port;
};

// One after another they are of different targets, then of different sources, then of different ports.
static void frame_of_session(const struct range *range, long session, int number, bool confirms)
{
	struct frame *frame = &frames[number];
	long turn = session / range->targets;

	*frame = blank;
	frame->ip.protocol = IPPROTO_TCP;
	frame->ip.saddr = htonl(range->source + turn % range->sources);
	frame->ip.daddr = htonl(range->target + session % range->targets);
	frame->tcp = (struct tcphdr){
		.source = htons(FIRST_PORT + turn / range->sources % PORTS),
		.dest = htons(range->port),
		.seq = htonl(CLIENT_SEQUENCE + confirms),
		.ack_seq = htonl(confirms ? SERVER_SEQUENCE + 1 : 0),
		.doff = 5,
		.syn = !confirms,
		.ack = confirms,
		.window = htons(65535),
	};
	finish(number, HANDSHAKE);
}

static void send_sessions(const struct range *range, long first, long end, bool confirms)
{
	for (long at = first; at < end; at += BATCH) {
		int count = end - at < BATCH ? end - at : BATCH;
		for (int n = 0; n < count; n++)
			frame_of_session(range, at + n, n, confirms);
		send_frames(count);
	}
}

// The answers have come by the time that a window of SYNs is sent: the kernel handles them in the sender's time.
static void open_sessions(const struct range *range, long first, long end)
{
	for (long at = first; at < end; at += WINDOW) {
		long upto = end - at < WINDOW ? end : at + WINDOW;
		send_sessions(range, at, upto, false);
		send_sessions(range, at, upto, true);
	}
}

// In an order that no cache foresees.
static void touch_sessions(const struct range *range, long first, long end, long packets)
{
	for (long at = 0; at < packets; at += BATCH) {
		int count = packets - at < BATCH ? packets - at : BATCH;
		for (int n = 0; n < count; n++)
			frame_of_session(range, first + (at + n) * STRIDE % (end - first), n, true);
		send_frames(count);
	}
}

static int sessions(char **words, bool new)
{
	struct range range = {
		.source = ntohl(inet_addr(words[2])), .sources = atoi(words[3]),
		.target = ntohl(inet_addr(words[4])), .targets = atoi(words[5]), .port = atoi(words[6])};
	long first = atol(words[7]), end = atol(words[8]), count = new ? end - first : atol(words[9]);

	open_device(words[0], words[1]);
	if ((double)range.sources * range.targets * PORTS < end || end <= first || count < 1) {
		fprintf(stderr, "packets: so many sessions need more addresses\n");
		return 2;
	}
	int64_t began = nanoseconds(CLOCK_MONOTONIC), used = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
	if (new)
		open_sessions(&range, first, end);
	else
		touch_sessions(&range, first, end, count);
	used = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - used;
	double took = (nanoseconds(CLOCK_MONOTONIC) - began) / 1e9;
	printf("{\"count\": %ld, \"rate\": %.0f, \"nanoseconds\": %.2f}\n", count, count / took, (double)used / count);
	return 0;
}

// ---- numbered packets

static bool told(int timeout)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[64];

	return poll(&input, 1, timeout) > 0 && read(STDIN_FILENO, line, sizeof line) >= 0;
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = inet_addr(address)};
}

static int beat(char **words)
{
	struct sockaddr_in to = address_of(words[0], words[1]);
	int64_t every = atol(words[2]) * 1000, next = nanoseconds(CLOCK_MONOTONIC);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint64_t number = 0;

	if (fd < 0 || connect(fd, (void *)&to, sizeof to))
		fail("connect");
	puts("{\"beating\": true}");
	fflush(stdout);
	while (!told(0)) {
		if (send(fd, &number, sizeof number, 0) != sizeof number)
			fail("send");
		number++;
		next += every;
		struct timespec until = {next / 1000000000, next % 1000000000};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
	printf("{\"sent\": %lu}\n", number);
	return 0;
}

// The kernel's own stamp: when the packet came, not when this process had its turn.
static int64_t stamp_of(struct msghdr *message)
{
	struct cmsghdr *each = CMSG_FIRSTHDR(message);
	struct timespec at;

	if (!each || each->cmsg_type != SO_TIMESTAMPNS)
		return 0;
	memcpy(&at, CMSG_DATA(each), sizeof at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static int stamp(char **words)
{
	struct sockaddr_in at = address_of(words[0], words[1]);
	int one = 1, room = 1 << 24, fd = socket(AF_INET, SOCK_DGRAM, 0);
	long heard = 0;
	int64_t last = 0;
	uint64_t number, highest = 0;

	if (fd < 0 || bind(fd, (void *)&at, sizeof at) || setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one))
		fail("bind");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	puts("{\"ready\": true}");
	fflush(stdout);
	for (;;) {
		struct pollfd both[] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
		if (poll(both, 2, -1) < 0)
			fail("poll");
		for (;;) {
			char control[64];
			struct iovec part = {&number, sizeof number};
			struct msghdr message = {
				.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
			if (recvmsg(fd, &message, MSG_DONTWAIT) < 0)
				break;
			last = stamp_of(&message);
			if (number && number <= highest)
				continue; // a second time, which must not stand for one that was lost
			heard++;
			highest = number;
		}
		if (both[1].revents) {
			char line[64];
			if (read(STDIN_FILENO, line, sizeof line) <= 0)
				return 0;
			printf("{\"heard\": %ld, \"last\": %ld}\n", heard, last);
			fflush(stdout);
		}
	}
}

int main(int count, char **words)
{
	const char *verb = count > 1 ? words[1] : "";

	prctl(PR_SET_PDEATHSIG, SIGKILL); // whatever ends the benchmark ends us
	if (!strcmp(verb, "flood") && count == 9)
		return flood(words + 2);
	if (!strcmp(verb, "open") && count == 11)
		return sessions(words + 2, true);
	if (!strcmp(verb, "touch") && count == 12)
		return sessions(words + 2, false);
	if (!strcmp(verb, "beat") && count == 5)
		return beat(words + 2);
	if (!strcmp(verb, "stamp") && count == 4)
		return stamp(words + 2);
	fprintf(stderr, "packets: see the head of packets.c\n");
	return 2;
}
