/* SPDX-License-Identifier: Apache-2.0 */
#include "core/resolve.h"

#include "core/clock.h"
#include "core/slice.h"

#include <event2/dns.h>
#include <event2/event.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define QUERY_MAX_MS    10000u /* whatever the options of resolv.conf say */
#define OTHER_FAMILY_MS 500u   /* how long the first family's addresses wait for the second's */
#define HOSTS_TTL_S     60u
#define HOSTS_LOOK_MS   1000u
#define HOSTS_PATH      "/etc/hosts"

struct host {
    char *name;
    struct resolve_address address;
};

struct hosts { /* what HOSTS_PATH says */
    struct host *rows;
    size_t count, capacity;
    bool incomplete; /* memory was short: read it again */
    struct timespec mtime;
    uint64_t looked_ms;
};

struct resolver {
    struct loop *loop;
    struct evdns_base *dns;
    struct resolve_query *queries;
    struct hosts hosts;
};

struct ask { /* one family of a query */
    struct resolve_query *query;
    struct evdns_request *request; /* NULL: answered or never sent */
    unsigned count;
    struct resolve_address addresses[RESOLVE_MAX_ADDRESSES];
};

struct resolve_query {
    struct loop_timer timer; /* first: the timer's callback casts */
    struct resolver *resolver;
    struct resolve_query *previous, *next;
    resolve_fn *fn;
    void *arg;
    unsigned waiting; /* evdns still holds pointers to this many of asks */
    bool over;        /* answered or cancelled; freed when evdns lets go */
    struct ask asks[2];
    struct resolve_answer answer;
};

/* --- addresses --- */

static void address_set_ipv4(struct resolve_address *address, const void *bytes)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&address->addr;

    memset(address, 0, sizeof(*address));
    in->sin_family = AF_INET;
    memcpy(&in->sin_addr, bytes, sizeof(in->sin_addr));
    address->len = sizeof(*in);
}

static void address_set_ipv6(struct resolve_address *address, const void *bytes)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->addr;

    memset(address, 0, sizeof(*address));
    in6->sin6_family = AF_INET6;
    memcpy(&in6->sin6_addr, bytes, sizeof(in6->sin6_addr));
    address->len = sizeof(*in6);
}

static bool address_parse(struct resolve_address *address, const char *text)
{
    struct in6_addr bytes;

    if (inet_pton(AF_INET, text, &bytes) == 1) {
        address_set_ipv4(address, &bytes);
        return true;
    }
    if (inet_pton(AF_INET6, text, &bytes) == 1) {
        address_set_ipv6(address, &bytes);
        return true;
    }
    return false;
}

bool resolve_literal(const char *host, uint16_t port, struct sockaddr_storage *ret_addr,
                     socklen_t *ret_len)
{
    char text[INET6_ADDRSTRLEN];
    struct slice bare = slice_str(host);
    struct resolve_address address;
    bool bracketed = bare.len >= 2 && host[0] == '[' && host[bare.len - 1] == ']';

    if (bracketed) {
        bare = slice_of(host + 1, bare.len - 2);
    }
    if (bare.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, bare.ptr, bare.len);
    text[bare.len] = '\0';
    if (!address_parse(&address, text)) {
        return false;
    }

    if (address.addr.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)&address.addr)->sin6_port = htons(port);
    } else if (bracketed) {
        return false;
    } else {
        ((struct sockaddr_in *)&address.addr)->sin_port = htons(port);
    }
    *ret_addr = address.addr;
    *ret_len = address.len;
    return true;
}

static void answer_add(struct resolve_answer *answer, const struct resolve_address *address)
{
    if (answer->count < RESOLVE_MAX_ADDRESSES) {
        answer->addresses[answer->count++] = *address;
    }
}

/* --- the hosts file --- */

static void hosts_clear(struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        free(hosts->rows[i].name);
    }
    free(hosts->rows);
    hosts->rows = NULL;
    hosts->count = hosts->capacity = 0;
}

/* Without memory the row is missing; DNS is asked then. */
static void hosts_add(struct hosts *hosts, const char *name, const struct resolve_address *address)
{
    if (hosts->count == hosts->capacity) {
        size_t capacity = hosts->capacity == 0 ? 16 : 2 * hosts->capacity;
        struct host *rows = (struct host *)reallocarray(hosts->rows, capacity, sizeof(*rows));
        if (rows == NULL) {
            hosts->incomplete = true;
            return;
        }
        hosts->rows = rows;
        hosts->capacity = capacity;
    }

    char *copy = strdup(name);
    if (copy == NULL) {
        hosts->incomplete = true;
        return;
    }
    hosts->rows[hosts->count++] = (struct host){ .name = copy, .address = *address };
}

/* The next word of a line; NULL at its end. */
static char *line_word(char **line)
{
    char *word;

    do {
        word = strsep(line, " \t");
    } while (word != NULL && *word == '\0');
    return word;
}

/* "ADDRESS NAME..." with a comment behind "#". */
static void hosts_add_line(struct hosts *hosts, char *line)
{
    struct resolve_address address;

    line[strcspn(line, "#\r\n")] = '\0';
    char *word = line_word(&line);
    if (word == NULL || !address_parse(&address, word)) {
        return;
    }
    while ((word = line_word(&line)) != NULL) {
        hosts_add(hosts, word, &address);
    }
}

/* Read the file again when it has changed; it is small and local. */
static void hosts_refresh(struct hosts *hosts)
{
    struct stat st;

    if (hosts->looked_ms != 0 && clock_ms() - hosts->looked_ms < HOSTS_LOOK_MS) {
        return;
    }
    hosts->looked_ms = clock_ms();
    if (stat(HOSTS_PATH, &st) != 0) {
        hosts_clear(hosts);
        hosts->mtime = (struct timespec){ 0 };
        return;
    }
    if (st.st_mtim.tv_sec == hosts->mtime.tv_sec && st.st_mtim.tv_nsec == hosts->mtime.tv_nsec) {
        return;
    }

    FILE *file = fopen(HOSTS_PATH, "re");
    if (file == NULL) {
        return;
    }
    char *line = NULL;
    size_t size = 0;
    hosts_clear(hosts);
    hosts->incomplete = false;
    while (getline(&line, &size, file) >= 0) {
        hosts_add_line(hosts, line);
    }
    hosts->mtime = hosts->incomplete ? (struct timespec){ 0 } : st.st_mtim;
    free(line);
    fclose(file);
}

/* "localhost" and what ends in ".localhost" never leaves the machine (RFC 6761 section 6.3). */
static bool name_is_localhost(struct slice name)
{
    const struct slice localhost = SLICE("localhost");

    if (name.len < localhost.len ||
        !slice_eq_nocase(slice_skip(name, name.len - localhost.len), localhost)) {
        return false;
    }
    return name.len == localhost.len || name.ptr[name.len - localhost.len - 1] == '.';
}

static void hosts_answer(struct hosts *hosts, const char *text, struct resolve_answer *answer)
{
    static const uint8_t ipv4[4] = { 127, 0, 0, 1 };
    struct slice name = slice_str(text);

    hosts_refresh(hosts);
    if (name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    for (size_t i = 0; i < hosts->count; i++) {
        if (slice_eq_nocase(slice_str(hosts->rows[i].name), name)) {
            answer_add(answer, &hosts->rows[i].address);
        }
    }
    if (answer->count == 0 && name_is_localhost(name)) {
        struct resolve_address address;
        address_set_ipv4(&address, ipv4);
        answer_add(answer, &address);
        address_set_ipv6(&address, &in6addr_loopback);
        answer_add(answer, &address);
    }
    answer->ttl_s = HOSTS_TTL_S;
}

/* --- queries --- */

/* Take it out of the resolver; the memory goes when evdns has let go of it. */
static void query_end(struct resolve_query *query)
{
    struct resolver *resolver = query->resolver;

    query->over = true;
    loop_timer_remove(resolver->loop, &query->timer);
    if (query->previous == NULL) {
        resolver->queries = query->next;
    } else {
        query->previous->next = query->next;
    }
    if (query->next != NULL) {
        query->next->previous = query->previous;
    }
    /* evdns answers a cancelled request, too, in a later turn. */
    for (unsigned i = 0; i < 2; i++) {
        if (query->asks[i].request != NULL) {
            evdns_cancel_request(resolver->dns, query->asks[i].request);
            query->asks[i].request = NULL;
        }
    }
    if (query->waiting == 0) {
        free(query);
    }
}

static void query_answer(struct resolve_query *query)
{
    struct resolve_answer *answer = &query->answer;

    for (unsigned i = 0; i < 2; i++) {
        for (unsigned j = 0; j < query->asks[i].count; j++) {
            answer_add(answer, &query->asks[i].addresses[j]);
        }
    }
    if (answer->count > 0) {
        answer->err = 0;
        answer->ttl_s = answer->ttl_s == 0 ? 1 : answer->ttl_s;
    } else if (answer->err == 0) {
        answer->err = ERR_RESOLVE;
    }

    /* The memory outlives the callback, which may cancel or ask anew. */
    query->waiting++;
    query_end(query);
    query->fn(query->arg, answer);
    if (--query->waiting == 0) {
        free(query);
    }
}

static void query_on_timer(struct loop_timer *timer)
{
    struct resolve_query *query = (struct resolve_query *)timer;

    if (query->answer.count == 0 && query->waiting > 0) {
        query->answer.err = ERR_TIMEOUT;
    }
    query_answer(query);
}

static void ask_take_addresses(struct ask *ask, char type, int count, int ttl, const char *bytes)
{
    struct resolve_answer *answer = &ask->query->answer;
    uint32_t ttl_s = ttl < 1 ? 1 : (uint32_t)ttl;

    for (int i = 0; i < count && ask->count < RESOLVE_MAX_ADDRESSES; i++) {
        struct resolve_address *address = &ask->addresses[ask->count++];
        if (type == DNS_IPv4_A) {
            address_set_ipv4(address, bytes + 4 * i);
        } else {
            address_set_ipv6(address, bytes + 16 * i);
        }
    }
    if (ask->count > 0 && (answer->ttl_s == 0 || ttl_s < answer->ttl_s)) {
        answer->ttl_s = ttl_s;
    }
}

static void ask_on_answer(int result, char type, int count, int ttl, void *addresses, void *arg)
{
    struct ask *ask = (struct ask *)arg;
    struct resolve_query *query = ask->query;

    ask->request = NULL;
    query->waiting--;
    if (query->over) {
        if (query->waiting == 0) {
            free(query);
        }
        return;
    }

    loop_turn_begin(query->resolver->loop);
    if (result == DNS_ERR_NONE && (type == DNS_IPv4_A || type == DNS_IPv6_AAAA)) {
        ask_take_addresses(ask, type, count, ttl, (const char *)addresses);
    } else if (result == DNS_ERR_TIMEOUT) {
        query->answer.err = ERR_TIMEOUT;
    }
    if (query->waiting == 0) {
        query_answer(query);
    } else if (ask->count > 0) {
        uint64_t soon_ms = clock_ms() + OTHER_FAMILY_MS;
        if (soon_ms < query->timer.deadline_ms) {
            /* It is in the heap already: this cannot fail. */
            (void)!loop_timer_set(query->resolver->loop, &query->timer, soon_ms);
        }
    }
}

/* False: there is nobody to ask. */
static bool query_send(struct resolve_query *query, const char *name)
{
    struct evdns_base *dns = query->resolver->dns;
    struct ask *v4 = &query->asks[0], *v6 = &query->asks[1];

    if (evdns_base_count_nameservers(dns) == 0) {
        return false;
    }
    v4->request = evdns_base_resolve_ipv4(dns, name, 0, ask_on_answer, v4);
    query->waiting += v4->request != NULL;
    v6->request = evdns_base_resolve_ipv6(dns, name, 0, ask_on_answer, v6);
    query->waiting += v6->request != NULL;
    return query->waiting > 0;
}

static void query_link(struct resolver *resolver, struct resolve_query *query)
{
    query->next = resolver->queries;
    if (query->next != NULL) {
        query->next->previous = query;
    }
    resolver->queries = query;
}

struct resolve_query *resolver_ask(struct resolver *resolver, const char *name, resolve_fn *fn,
                                   void *arg)
{
    struct resolve_query *query = (struct resolve_query *)calloc(1, sizeof(*query));
    if (query == NULL) {
        return NULL;
    }

    *query = (struct resolve_query){ .resolver = resolver, .fn = fn, .arg = arg };
    query->timer.fn = query_on_timer;
    query->asks[0].query = query->asks[1].query = query;
    int err = loop_timer_set(resolver->loop, &query->timer, clock_ms() + QUERY_MAX_MS);
    if (err < 0) {
        free(query);
        return NULL;
    }
    query_link(resolver, query);

    struct resolve_answer *answer = &query->answer;
    struct resolve_address address;
    if (resolve_literal(name, 0, &address.addr, &address.len)) {
        answer_add(answer, &address);
        answer->ttl_s = UINT32_MAX;
    } else {
        hosts_answer(&resolver->hosts, name, answer);
    }
    if (answer->count == 0) {
        answer->ttl_s = 0;
    }
    if (answer->count > 0 || !query_send(query, name)) {
        (void)!loop_timer_set(resolver->loop, &query->timer, clock_ms()); /* in the heap already */
    }
    return query;
}

void resolver_cancel(struct resolve_query *query)
{
    if (query != NULL && !query->over) {
        query_end(query);
    }
}

/* --- the resolver --- */

struct resolver *resolver_new(struct loop *loop)
{
    struct resolver *resolver = (struct resolver *)calloc(1, sizeof(*resolver));
    if (resolver == NULL) {
        return NULL;
    }

    resolver->loop = loop;
    resolver->dns = evdns_base_new(loop_base(loop), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (resolver->dns == NULL) {
        free(resolver);
        return NULL;
    }
    /* The file's own options win.  Without the file evdns asks 127.0.0.1, as libc does. */
    (void)evdns_base_set_option(resolver->dns, "timeout:", "2");
    (void)evdns_base_set_option(resolver->dns, "attempts:", "2");
    (void)evdns_base_resolv_conf_parse(resolver->dns, DNS_OPTIONS_ALL & ~DNS_OPTION_HOSTSFILE,
                                       "/etc/resolv.conf");
    return resolver;
}

int resolver_set_nameserver(struct resolver *resolver, const char *address)
{
    evdns_base_clear_nameservers_and_suspend(resolver->dns);
    evdns_base_search_clear(resolver->dns);
    int failed = address == NULL ? 0 : evdns_base_nameserver_ip_add(resolver->dns, address);
    evdns_base_resume(resolver->dns);
    return failed == 0 ? 0 : ERR_BAD_INPUT;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }

    while (resolver->queries != NULL) {
        query_end(resolver->queries);
    }
    evdns_base_free(resolver->dns, 1);
    hosts_clear(&resolver->hosts);
    free(resolver);
}
