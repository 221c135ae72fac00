/* SPDX-License-Identifier: Apache-2.0 */
/* The families of metrics: name, type, bounds, how the workers' values are merged, help text.  One
 * table; the exposition and the numbers of a worker follow it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define METRICS_MAX_BUCKETS 14u

struct metrics_bound {
    uint64_t us;
    const char *le;
};

enum metrics_merge { METRICS_SUM, METRICS_MAX, METRICS_MIN };
enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

struct metrics_family {
    const char *name;
    enum metrics_type type;
    const struct metrics_bound *bounds; /* histograms */
    enum metrics_merge merge;           /* of the workers' values */
    bool is_us;                         /* microseconds, shown in seconds */
    const char *help;
};

/* id, name, type (C counter, G gauge, H histogram with its bounds), how the workers' values are
 * merged, whether it counts microseconds (shown in seconds), help */
#define METRICS_TABLE(X)                                                                           \
    X(BUILD_INFO, "jwtgate_build_info", G, MAX, false,                                             \
      "Always 1; the labels say what was built and what it runs on.")                              \
    X(REQUESTS, "jwtgate_http_requests_total", C, SUM, false,                                      \
      "Requests that ended, also those that could not be parsed (route \"-\").")                   \
    X(DURATION, "jwtgate_http_request_duration_seconds", H(bounds_http), SUM, false,               \
      "Time from the head of a request to the end of its response.")                               \
    X(OVERHEAD, "jwtgate_gateway_overhead_seconds", H(bounds_us), SUM, false,                      \
      "Time of a request in the gateway: all of it without the wait for the upstream.")            \
    X(REQUEST_BYTES, "jwtgate_http_request_bytes_total", C, SUM, false,                            \
      "Bytes of request bodies received.")                                                         \
    X(RESPONSE_BYTES, "jwtgate_http_response_bytes_total", C, SUM, false,                          \
      "Bytes of response bodies sent.")                                                            \
    X(IN_FLIGHT, "jwtgate_http_requests_in_flight", G, SUM, false,                                 \
      "Requests that are being handled now.")                                                      \
    X(CONNECTIONS, "jwtgate_connections", G, SUM, false, "Client connections that are open now.")  \
    X(ACCEPTED, "jwtgate_connections_accepted_total", C, SUM, false,                               \
      "Client connections that were accepted.")                                                    \
    X(CLOSED, "jwtgate_connections_closed_total", C, SUM, false,                                   \
      "Client connections that ended, by reason.")                                                 \
    X(TLS_HANDSHAKES, "jwtgate_tls_handshakes_total", C, SUM, false,                               \
      "Handshakes of TLS with clients that ended, by result.")                                     \
    X(TLS_DURATION, "jwtgate_tls_handshake_duration_seconds", H(bounds_http), SUM, false,          \
      "Time from a client's connection to the end of its TLS handshake.")                          \
    X(TLS_IN_FLIGHT, "jwtgate_tls_handshakes_in_flight", G, SUM, false,                            \
      "Handshakes of TLS with clients that are under way now.")                                    \
    X(TLS_LIMIT, "jwtgate_tls_handshake_limit_total", C, SUM, false,                               \
      "How often a worker has stopped accepting for too many handshakes.")                         \
    X(CERTIFICATE, "jwtgate_certificate_not_after_timestamp_seconds", G, MAX, true,                \
      "When a certificate of a listener expires, as Unix time.")                                   \
    X(STAPLE, "jwtgate_ocsp_next_update_timestamp_seconds", G, MAX, true,                          \
      "When the OCSP response of a certificate lapses, as Unix time.")                             \
    X(PARSE_ERRORS, "jwtgate_http_parse_errors_total", C, SUM, false,                              \
      "Requests that were refused for their form, by reason.")                                     \
    X(AUTH_DECISIONS, "jwtgate_auth_decisions_total", C, SUM, false,                               \
      "Decisions about tokens, by reason (\"ok\": let through).")                                  \
    X(AUTH_DURATION, "jwtgate_auth_duration_seconds", H(bounds_us), SUM, false,                    \
      "Time to verify a token that is not in the cache; hits are only counted.")                   \
    X(CACHE_ENTRIES, "jwtgate_token_cache_entries", G, SUM, false,                                 \
      "Verified tokens that are remembered now.")                                                  \
    X(CACHE_LOOKUPS, "jwtgate_token_cache_lookups_total", C, SUM, false,                           \
      "Look-ups of the cache of verified tokens, by result.")                                      \
    X(JWKS_KEYS, "jwtgate_jwks_keys", G, MAX, false,                                               \
      "Keys of the provider that were fetched and are in use.")                                    \
    X(JWKS_KEYS_SKIPPED, "jwtgate_jwks_keys_skipped", G, MAX, false,                               \
      "Keys of the provider's set in use that cannot be used.")                                    \
    X(JWKS_LAST_SUCCESS, "jwtgate_jwks_last_success_timestamp_seconds", G, MAX, false,             \
      "When the provider's keys were last fetched or confirmed, as Unix time.")                    \
    X(JWKS_FETCHES, "jwtgate_jwks_fetches_total", C, SUM, false,                                   \
      "Attempts to fetch keys, by result.")                                                        \
    X(JWKS_FETCH_DURATION, "jwtgate_jwks_fetch_duration_seconds", H(bounds_http), SUM, false,      \
      "Time of a transfer of keys.")                                                               \
    X(JWKS_SUSPICIOUS, "jwtgate_jwks_suspicious_total", C, SUM, false,                             \
      "Sets that replaced all keys or changed one, by reason.")                                    \
    X(REVOCATION_STATE, "jwtgate_revocation_state", G, MAX, false,                                 \
      "1 for the state in which the knowledge of revocations is: cold, live or stale.")            \
    X(REVOCATION_AGE, "jwtgate_revocation_sync_age_seconds", G, MAX, false,                        \
      "Time since all revocations were read from redis.")                                          \
    X(REVOCATION_ENTRIES, "jwtgate_revocation_entries", G, MAX, false,                             \
      "Revocations that are known, with those that expired since the last reading.")               \
    X(REVOCATION_BYTES, "jwtgate_revocation_filter_bytes", G, MAX, false,                          \
      "Memory of the filter over revocations.")                                                    \
    X(REVOCATION_LOOKUPS, "jwtgate_revocation_lookups_total", C, SUM, false,                       \
      "Questions whether a token is revoked, by what answered them.")                              \
    X(REVOCATIONS, "jwtgate_revocations_total", C, SUM, false,                                     \
      "Revocations that this gateway was asked for, by result.")                                   \
    X(REVOCATION_RESYNCS, "jwtgate_revocation_resyncs_total", C, SUM, false,                       \
      "Times that all revocations were read from redis, by cause.")                                \
    X(CLIENT_AUTH, "jwtgate_client_auth_decisions_total", C, SUM, false,                           \
      "Clients that authenticated at an OAuth endpoint (\"ok\"), or why they did not.")            \
    X(TOKENS_ISSUED, "jwtgate_tokens_issued_total", C, SUM, false,                                 \
      "Tokens that the gateway has issued, by grant and client (of a user's login: \"-\").")       \
    X(REVOCATION_FILL, "jwtgate_revocation_filter_fill_ratio", G, MAX, true,                       \
      "Part of the filter's bits that are set; over 0.5 it is wrong more often than asked for.")   \
    X(REVOCATION_DELAY, "jwtgate_revocation_delay_seconds", H(bounds_http), SUM, false,            \
      "From writing a name to the store until the filter of this gateway has it.")                 \
    X(REDIS_COMMANDS, "jwtgate_redis_commands_total", C, SUM, false,                               \
      "Commands to redis, by what they are for and whether they were answered.")                   \
    X(REDIS_WRITES, "jwtgate_redis_writes_total", C, SUM, false,                                   \
      "Writes to redis that were answered: commands leave together.")                              \
    X(REDIS_DURATION, "jwtgate_redis_command_duration_seconds", H(bounds_us), SUM, false,          \
      "Time from a write to redis until all of its commands were answered.")                       \
    X(REDIS_UP, "jwtgate_redis_up", G, MIN, false,                                                 \
      "1 while the connections that follow redis are up, else 0.")                                 \
    X(UPSTREAM_REQUESTS, "jwtgate_upstream_requests_total", C, SUM, false,                         \
      "Tries at upstream targets, by status or error.")                                            \
    X(UPSTREAM_DURATION, "jwtgate_upstream_request_duration_seconds", H(bounds_http), SUM, false,  \
      "Time from the head sent to an upstream to the head of its response.")                       \
    X(UPSTREAM_CONNECTIONS, "jwtgate_upstream_connections", G, SUM, false,                         \
      "Connections to upstream targets that are open now, by state.")                              \
    X(UPSTREAM_UP, "jwtgate_upstream_target_up", G, MIN, false,                                    \
      "1 while the target is thought to work, else 0.")                                            \
    X(UPSTREAM_RETRIES, "jwtgate_upstream_retries_total", C, SUM, false,                           \
      "Tries at an upstream after the first one of a request.")                                    \
    X(CONFIG_INFO, "jwtgate_config_info", G, MAX, false,                                           \
      "Always 1; the label is the hash of the configuration in use.")                              \
    X(RELOADS, "jwtgate_config_reloads_total", C, SUM, false,                                      \
      "Attempts to load the configuration again, by result.")                                      \
    X(RELOAD_OK, "jwtgate_config_last_reload_successful", G, MAX, false,                           \
      "1 when the last attempt to load the configuration succeeded, else 0.")                      \
    X(RELOAD_TIME, "jwtgate_config_last_reload_timestamp_seconds", G, MAX, true,                   \
      "When the configuration in use was loaded, as Unix time.")                                   \
    X(LOG_DROPPED, "jwtgate_log_dropped_total", C, SUM, false,                                     \
      "Access log lines that were dropped because their reader was too slow.")                     \
    X(LOOP_LAG, "jwtgate_event_loop_lag_seconds", H(bounds_us), SUM, false,                        \
      "How late the event loop of a worker was, sampled once a second.")                           \
    X(CPU, "process_cpu_seconds_total", C, MAX, true,                                              \
      "Total user and system CPU time spent in seconds.")                                          \
    X(RSS, "process_resident_memory_bytes", G, MAX, false, "Resident memory size in bytes.")       \
    X(OPEN_FDS, "process_open_fds", G, MAX, false, "Number of open file descriptors.")             \
    X(MAX_FDS, "process_max_fds", G, MAX, false, "Maximum number of open file descriptors.")       \
    X(START_TIME, "process_start_time_seconds", G, MAX, true,                                      \
      "Start time of the process since unix epoch in seconds.")

#define ENUM_ROW(id, ...) METRICS_##id,
enum metrics_family_id { METRICS_TABLE(ENUM_ROW) METRICS_FAMILIES };
#undef ENUM_ROW

extern const struct metrics_family metrics_families[METRICS_FAMILIES];

/* enum metrics_family_id of a name, or -1. */
int metrics_find_family(const char *name);
