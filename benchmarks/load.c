// Load for TCP paths: a server that repeats what it hears, and clients that count. Answers are one line of JSON.
//
//   load serve ADDRESS PORT
//   load connections TARGET PORT TARGETS SOURCE SOURCES CONCURRENCY SECONDS    connect, request, response, close
//   load round_trips TARGET PORT TARGETS SOURCE SOURCES CONCURRENCY SECONDS    request, response on open connections
//   load first_byte  TARGET PORT SECONDS                                       tries until one byte comes back
//
// TARGETS and SOURCES are how many consecutive addresses there are, used in turn, so that no pair of addresses runs out
// of ports. Latencies are in microseconds; `took` is in milliseconds, `at` in nanoseconds of CLOCK_MONOTONIC,
// which all processes share.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { MESSAGE = 32, EVENTS = 512, ACCEPTS = 64, MOST_SAMPLES = 4000000, ATTEMPTS = 16 };

static const double WARM_UP = 0.2;             // seconds that are not counted
static const int64_t ATTEMPT_EVERY = 500000;   // nanoseconds: a lost SYN would be sent again only after a second
static const uint64_t THE_LISTENER = UINT64_MAX;

struct addresses {
	uint32_t first; // in host order
	int count;
};

struct client {
	int fd;
	bool connected;
	int received;
	double began;
};

static char buffer[65536];

static int64_t nanoseconds(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static double seconds(void)
{
	return nanoseconds() / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in address_of(uint32_t address, int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
}

static struct addresses addresses_of(const char *first, const char *count)
{
	return (struct addresses){ntohl(inet_addr(first)), atoi(count)};
}

static int new_socket(void)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		fail("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void watch(int poll, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};
	if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) && epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event))
		fail("epoll_ctl");
}

// ---- the server

static void repeat(int fd)
{
	ssize_t length = read(fd, buffer, sizeof buffer);
	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0 || write(fd, buffer, length) != length)
		close(fd);
}

static void take_in(int poll, int listener)
{
	for (int n = 0; n < ACCEPTS; n++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		if (fd < 0)
			return;
		watch(poll, fd, EPOLLIN, fd);
	}
}

static int serve(char **words)
{
	struct sockaddr_in at = address_of(ntohl(inet_addr(words[0])), atoi(words[1]));
	int one = 1, poll = epoll_create1(0), listener = new_socket();
	struct epoll_event events[EVENTS];

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (void *)&at, sizeof at) || listen(listener, 65535))
		fail("listen");
	watch(poll, listener, EPOLLIN, THE_LISTENER);
	puts("{\"ready\": true}");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(poll, events, EVENTS, -1);
		for (int n = 0; n < count; n++) {
			if (events[n].data.u64 == THE_LISTENER)
				take_in(poll, listener);
			else
				repeat(events[n].data.u64);
		}
	}
}

// ---- clients that count

struct run {
	bool keep; // the connections, for many round trips
	int poll, port, concurrency;
	struct addresses targets, sources;
	long started, errors, samples;
	double warm, began; // from when samples count, and when the first did
	float *latencies;
	struct client *clients;
};

static void drop(struct client *client)
{
	close(client->fd);
	client->fd = -1;
}

static void begin(struct run *run, int number)
{
	struct client *client = &run->clients[number];
	struct sockaddr_in to = address_of(run->targets.first + run->started % run->targets.count, run->port);
	struct sockaddr_in from = address_of(run->sources.first + run->started / 7 % run->sources.count, 0);
	int one = 1;

	run->started++;
	*client = (struct client){.fd = new_socket(), .began = seconds()};
	setsockopt(client->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	if (bind(client->fd, (void *)&from, sizeof from) ||
	    (connect(client->fd, (void *)&to, sizeof to) && errno != EINPROGRESS)) {
		run->errors++;
		drop(client);
		return;
	}
	watch(run->poll, client->fd, EPOLLOUT, number);
}

static bool ask(struct run *run, struct client *client)
{
	if (write(client->fd, buffer, MESSAGE) == MESSAGE)
		return true;
	run->errors++;
	drop(client);
	return false;
}

static void connected(struct run *run, int number)
{
	struct client *client = &run->clients[number];
	int error = 0;
	socklen_t length = sizeof error;

	getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error) {
		run->errors++;
		drop(client);
		return;
	}
	if (run->keep)
		client->began = seconds();
	client->connected = true;
	if (ask(run, client))
		watch(run->poll, client->fd, EPOLLIN, number);
}

static void count(struct run *run, double began)
{
	double now = seconds();
	if (now < run->warm)
		return;
	if (!run->began)
		run->began = now;
	else if (run->samples < MOST_SAMPLES)
		run->latencies[run->samples++] = now - began;
}

static void answered(struct run *run, int number)
{
	struct client *client = &run->clients[number];
	ssize_t length = read(client->fd, buffer, MESSAGE);

	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0) {
		run->errors++;
		drop(client);
		return;
	}
	if ((client->received += length) < MESSAGE)
		return;
	count(run, client->began);
	if (!run->keep) {
		drop(client);
		return;
	}
	client->received = 0;
	client->began = seconds();
	ask(run, client);
}

static int by_size(const void *one, const void *other)
{
	float a = *(const float *)one, b = *(const float *)other;
	return (a > b) - (a < b);
}

static double microseconds(const struct run *run, double share)
{
	return run->samples ? run->latencies[(long)(run->samples * share)] * 1e6 : 0;
}

static int clients(bool keep, char **words)
{
	double end = seconds() + atof(words[6]);
	struct run run = {
		.keep = keep, .poll = epoll_create1(0), .port = atoi(words[1]), .concurrency = atoi(words[5]),
		.targets = addresses_of(words[0], words[2]), .sources = addresses_of(words[3], words[4]),
		.warm = seconds() + WARM_UP, .latencies = malloc(MOST_SAMPLES * sizeof(float)),
		.clients = calloc(atoi(words[5]), sizeof(struct client))};
	struct epoll_event events[EVENTS];

	if (!run.latencies || !run.clients)
		fail("memory");
	for (int n = 0; n < run.concurrency; n++)
		run.clients[n].fd = -1;
	while (seconds() < end) {
		for (int n = 0; n < run.concurrency; n++)
			if (run.clients[n].fd < 0)
				begin(&run, n);
		int found = epoll_wait(run.poll, events, EVENTS, 100);
		for (int n = 0; n < found; n++) {
			int number = events[n].data.u64;
			if (run.clients[number].connected)
				answered(&run, number);
			else
				connected(&run, number);
		}
	}
	double took = seconds() - run.began;
	qsort(run.latencies, run.samples, sizeof(float), by_size);
	printf("{\"rate\": %.1f, \"p50\": %.1f, \"p99\": %.1f, \"samples\": %ld, \"errors\": %ld}\n",
	       run.began ? run.samples / took : 0, microseconds(&run, 0.5), microseconds(&run, 0.99), run.samples,
	       run.errors);
	return 0;
}

// ---- the first byte

static int attempt(struct sockaddr_in *to)
{
	int fd = new_socket();
	if (connect(fd, (void *)to, sizeof *to) && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

// Asks on a connection that was made, and waits up to a second for the byte that comes back.
static bool hear(int fd)
{
	int error = 0, poll = epoll_create1(0);
	socklen_t length = sizeof error;
	struct epoll_event event;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	watch(poll, fd, EPOLLIN, 0);
	bool heard = !error && write(fd, buffer, 1) == 1 && epoll_wait(poll, &event, 1, 1000) == 1 &&
		     read(fd, buffer, 1) == 1;
	close(poll);
	return heard;
}

// A new attempt every half millisecond; the last few may still be answered.
static int first_byte(char **words)
{
	struct sockaddr_in to = address_of(ntohl(inet_addr(words[0])), atoi(words[1]));
	int64_t began = nanoseconds(), end = began + (int64_t)(atof(words[2]) * 1e9), next = 0;
	int poll = epoll_create1(0), open[ATTEMPTS];
	long attempts = 0;

	memset(open, -1, sizeof open);
	puts("{\"trying\": true}");
	fflush(stdout);
	while (nanoseconds() < end) {
		if (nanoseconds() >= next) {
			int *slot = &open[attempts++ % ATTEMPTS];
			if (*slot >= 0)
				close(*slot);
			*slot = attempt(&to);
			if (*slot >= 0)
				watch(poll, *slot, EPOLLOUT, *slot);
			next = nanoseconds() + ATTEMPT_EVERY;
		}
		struct epoll_event event;
		struct timespec wait = {.tv_nsec = ATTEMPT_EVERY};
		if (epoll_pwait2(poll, &event, 1, &wait, NULL) != 1)
			continue;
		if (hear(event.data.u64)) {
			int64_t at = nanoseconds();
			printf("{\"at\": %lld, \"took\": %.4f, \"attempts\": %ld}\n", (long long)at, (at - began) / 1e6,
			       attempts);
			return 0;
		}
		epoll_ctl(poll, EPOLL_CTL_DEL, event.data.u64, NULL);
	}
	fprintf(stderr, "load: no answer from %s:%s\n", words[0], words[1]);
	return 1;
}

int main(int count, char **words)
{
	struct rlimit files = {65536, 65536};
	const char *verb = count > 1 ? words[1] : "";

	prctl(PR_SET_PDEATHSIG, SIGKILL); // whatever ends the benchmark ends us
	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files); // where it is refused, what there is must do
	if (!strcmp(verb, "serve") && count == 4)
		return serve(words + 2);
	if (!strcmp(verb, "connections") && count == 9)
		return clients(false, words + 2);
	if (!strcmp(verb, "round_trips") && count == 9)
		return clients(true, words + 2);
	if (!strcmp(verb, "first_byte") && count == 5)
		return first_byte(words + 2);
	fprintf(stderr, "load: see the head of load.c\n");
	return 2;
}
