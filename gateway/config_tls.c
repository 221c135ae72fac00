/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of listeners and upstreams. */
#include "core/tls.h"
#include "gateway/config_build.h"

#include <time.h>

#define DAYS               ((int64_t)24 * 3600 * 1000)
#define MAX_CERTIFICATES   1000
#define HSTS_PRELOAD_DAYS  365
#define MAX_HOST_IN_CONFIG 253
#define MAX_PINS           16

struct hsts_text {
    uint64_t max_age_ms;
    bool include_subdomains, preload;
};

struct certificate_text {
    struct option_element element;
    struct option_strings hosts;
    const char *cert_file, *key_file, *ocsp_file;
};

struct listener_tls {
    int profile, min_version;
    struct option_list certificates;
    const char *client_ca_file;
    int client_auth;
    struct slice hsts;
};

static void report(const struct option_context *ctx, const struct json *where, const char *path,
                   const char *member, const char *remedy, const char *what)
{
    const struct json *value = member == NULL ? NULL : json_get(where, slice_str(member));

    if (value != NULL) {
        path = options_join(ctx, path, slice_str(member));
    }
    diag_at(ctx->diag, DIAG_ERROR, value != NULL ? value : where, path, remedy, "%s", what);
}

/* ---- HSTS ---- */

static const struct option hsts_table[] = {
    { "max_age", OPT_DURATION, offsetof(struct hsts_text, max_age_ms), .def = "\"365d\"", .min = 0,
      .max = 3650 * DAYS, .help = "How long browsers keep to https." },
    { "include_subdomains", OPT_BOOL, offsetof(struct hsts_text, include_subdomains),
      .def = "false", .help = "Also for all hosts below." },
    { "preload", OPT_BOOL, offsetof(struct hsts_text, preload), .def = "false",
      .help = "Browsers may build it in." },
    { .name = NULL },
};

/* The value of Strict-Transport-Security (RFC 6797 section 6.1). */
static void parse_hsts(const struct option_context *ctx, const struct json *value, const char *path,
                       void *field)
{
    struct hsts_text text = { 0 };

    options_read(ctx, hsts_table, value, path, NULL, &text);
    if (text.preload &&
        (!text.include_subdomains || text.max_age_ms < (uint64_t)(HSTS_PRELOAD_DAYS * DAYS))) {
        report(ctx, value, path, "preload", "set \"include_subdomains\" and a \"max_age\" of 365d",
               "is for hosts that keep to https for a year, with all below them");
        return;
    }
    *(struct slice *)field = slice_str(arena_printf(
        ctx->arena, "max-age=%llu%s%s", (unsigned long long)(text.max_age_ms / 1000),
        text.include_subdomains ? "; includeSubDomains" : "", text.preload ? "; preload" : ""));
}

/* ---- listeners ---- */

static const char *const profiles[] = { "intermediate", "modern", NULL };
static const char *const versions[] = { "1.2", "1.3", NULL };
static const char *const client_auths[] = { "none", "request", "require", NULL };

#define CERT(field) offsetof(struct certificate_text, field)
#define TLS(field)  offsetof(struct listener_tls, field)

static const struct option certificate_table[] = {
    { "hosts", OPT_STRINGS, CERT(hosts), .min = 1, .max = 1000,
      .help = "Names it is for, \"*.example.com\" for one label; without: those inside it." },
    { "cert_file", OPT_PATH, CERT(cert_file), .def = "\"tls/api.crt\"", .required = true,
      .help = "PEM: the certificate, then its chain." },
    { "key_file", OPT_PATH, CERT(key_file), .def = "\"tls/api.key\"", .required = true,
      .help = "PEM: its private key, readable by us alone." },
    { "ocsp_file", OPT_PATH, CERT(ocsp_file),
      .help = "DER: the OCSP response to staple; read again with each reload." },
    { .name = NULL },
};

const struct option config_listener_tls_table[] = {
    { "profile", OPT_ENUM, TLS(profile), .def = "\"intermediate\"", .choices = profiles,
      .help = "Mozilla's; modern: TLS 1.3 only." },
    { "min_version", OPT_ENUM, TLS(min_version), .def = "\"1.2\"", .choices = versions,
      .help = "The oldest version that is spoken." },
    { "certificates", OPT_LIST, TLS(certificates),
      .def = "[{\"cert_file\": \"tls/api.crt\", \"key_file\": \"tls/api.key\"}]", .required = true,
      .min = 1, .max = MAX_CERTIFICATES, .sub = certificate_table, .has_element = true,
      .sub_size = sizeof(struct certificate_text),
      .help = "Chosen by the name that the client asks for; the first one for all other names." },
    { "client_ca_file", OPT_PATH, TLS(client_ca_file),
      .help = "PEM: who may issue client certificates." },
    { "client_auth", OPT_ENUM, TLS(client_auth), .def = "\"none\"", .choices = client_auths,
      .help = "Whether clients must, or may, show a certificate." },
    { "hsts", OPT_CUSTOM, TLS(hsts), .parse = parse_hsts, .sub = hsts_table,
      .help = "Strict-Transport-Security on all answers." },
    { .name = NULL },
};

static bool host_is_valid(struct slice host)
{
    struct slice name = slice_starts_with(host, SLICE("*.")) ? slice_skip(host, 2) : host;

    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              (c == '.' && i > 0 && name.ptr[i - 1] != '.'))) {
            return false;
        }
    }
    return name.len > 0 && host.len <= MAX_HOST_IN_CONFIG;
}

static bool hosts_are_valid(const struct option_context *ctx, const struct json *where,
                            const char *path)
{
    const struct json *hosts = json_get(where, SLICE("hosts"));
    bool ok = true;

    for (const struct json *item = hosts == NULL ? NULL : hosts->child; item != NULL;
         item = item->next) {
        if (!host_is_valid(item->text)) {
            diag_at(ctx->diag, DIAG_ERROR, item, options_join(ctx, path, SLICE("hosts")),
                    "write \"api.example.com\" or \"*.example.com\"", "\"%.*s\" is not a host name",
                    SLICE_FMT(item->text));
            ok = false;
        }
    }
    return ok;
}

static void check_facts(const struct option_context *ctx, const struct json *where,
                        const char *path, const struct tls_certificate_facts *facts)
{
    const struct json *file = json_get(where, SLICE("cert_file"));

    if (facts->not_after < (int64_t)time(NULL)) {
        diag_lint(ctx->diag, "certificate-expired", file, path, "renew it",
                  "the certificate has expired");
    }
    if (facts->staple_until != 0 && facts->staple_until < (int64_t)time(NULL)) {
        diag_lint(ctx->diag, "ocsp-lapsed", json_get(where, SLICE("ocsp_file")), path,
                  "fetch a new one", "the OCSP response has lapsed and is not stapled");
    }
    if (facts->uncovered.len > 0) {
        diag_lint(ctx->diag, "certificate-name", json_get(where, SLICE("hosts")), path,
                  "use a certificate that names it", "the certificate is not for \"%.*s\"",
                  SLICE_FMT(facts->uncovered));
    }
}

static const char *part_member(enum tls_part part, const char *ca_member)
{
    switch (part) {
    case TLS_PART_NONE: break;
    case TLS_PART_CERT: return "cert_file";
    case TLS_PART_KEY: return "key_file";
    case TLS_PART_CA: return ca_member;
    case TLS_PART_STAPLE: return "ocsp_file";
    }
    return NULL;
}

/* Owners of a key must see to it that nobody else reads it. */
static const char *part_remedy(enum tls_part part, const char *why)
{
    return part == TLS_PART_KEY && strstr(why, "read by others") != NULL ? "chmod 600 it" : NULL;
}

static void add_certificate(const struct option_context *ctx, struct config_listener *listener,
                            const struct certificate_text *text, const char *path)
{
    const struct json *where = text->element.where;
    const struct tls_certificate certificate = { .cert_file = text->cert_file,
                                                 .key_file = text->key_file,
                                                 .ocsp_file = text->ocsp_file,
                                                 .hosts = text->hosts.items,
                                                 .host_count = text->hosts.count };
    struct config_certificate *kept = &listener->certificates[listener->certificate_count];
    struct tls_certificate_facts facts;
    enum tls_part part;
    char why[TLS_WHY_BYTES];

    if (!hosts_are_valid(ctx, where, path)) {
        return;
    }
    int err = tls_server_add(listener->tls, &certificate, &facts, &part, why);
    if (err != 0) {
        report(ctx, where, path, err == ERR_EXISTS ? "hosts" : part_member(part, NULL),
               part_remedy(part, why), why);
        return;
    }
    check_facts(ctx, where, path, &facts);
    kept->host = text->hosts.count > 0 ? text->hosts.items[0] : SLICE("-");
    kept->not_after = facts.not_after;
    kept->staple_until = facts.staple_until;
    listener->certificate_count++;
}

/* Client certificates: both keys, or none. */
static bool client_auth_is_whole(const struct option_context *ctx, const struct json *value,
                                 const char *path, const struct listener_tls *text)
{
    if (text->client_auth != TLS_CLIENT_AUTH_NONE && text->client_ca_file == NULL) {
        report(ctx, value, path, "client_auth", "name the issuers' file in \"client_ca_file\"",
               "client certificates cannot be checked");
        return false;
    }
    if (text->client_auth == TLS_CLIENT_AUTH_NONE && text->client_ca_file != NULL) {
        report(ctx, value, path, "client_ca_file", "add \"client_auth\": \"require\"",
               "is not used, nobody is asked for a certificate");
        return false;
    }
    return true;
}

static void build_server(const struct option_context *ctx, const struct json *value,
                         const char *path, const struct listener_tls *text,
                         struct config_listener *listener)
{
    const struct certificate_text *certificates = text->certificates.items;
    const struct tls_server_options options = {
        .profile = (enum tls_profile)text->profile,
        .only_1_3 = text->min_version == 1,
        .client_auth = (enum tls_client_auth)text->client_auth,
        .client_ca_file = text->client_ca_file,
    };
    char why[TLS_WHY_BYTES];

    listener->certificates =
        arena_calloc(ctx->arena, text->certificates.count, sizeof(*listener->certificates));
    listener->tls = tls_server_new(&options, why);
    if (listener->tls == NULL || listener->certificates == NULL) {
        report(ctx, value, path, listener->tls == NULL ? "client_ca_file" : NULL, NULL,
               listener->tls == NULL ? why : "out of memory");
        return;
    }
    for (size_t i = 0; i < text->certificates.count; i++) {
        const char *item = arena_printf(ctx->arena, "%s.certificates[%zu]", path, i);

        add_certificate(ctx, listener, &certificates[i], item == NULL ? path : item);
    }
}

void config_parse_listener_tls(const struct option_context *ctx, const struct json *value,
                               const char *path, void *field)
{
    struct config_listener *listener = field;
    struct listener_tls text = { 0 };
    unsigned errors = ctx->diag->errors;

    options_read(ctx, config_listener_tls_table, value, path, NULL, &text);
    if (ctx->diag->errors == errors && client_auth_is_whole(ctx, value, path, &text)) {
        build_server(ctx, value, path, &text, listener);
        listener->hsts = text.hsts;
    }
}

/* ---- upstreams ---- */

#define UPSTREAM_TLS(field) offsetof(struct upstream_tls, field)

struct upstream_tls {
    struct slice server_name;
    const char *ca_file, *cert_file, *key_file;
    struct option_strings pins;
    bool insecure_skip_verify;
};

const struct option config_upstream_tls_table[] = {
    { "server_name", OPT_STRING, UPSTREAM_TLS(server_name), .min = 1, .max = MAX_HOST_IN_CONFIG,
      .help =
          "The name that is asked for and that the certificate must have; without: the target's." },
    { "ca_file", OPT_PATH, UPSTREAM_TLS(ca_file),
      .help = "PEM: who may issue its certificate; without: the system's authorities." },
    { "cert_file", OPT_PATH, UPSTREAM_TLS(cert_file),
      .help = "PEM: our own certificate, then its chain." },
    { "key_file", OPT_PATH, UPSTREAM_TLS(key_file),
      .help = "PEM: its private key, readable by us alone." },
    { "pin_sha256", OPT_STRINGS, UPSTREAM_TLS(pins), .min = 1, .max = MAX_PINS,
      .help = "Its public key must be one of these as well: SHA-256 of SubjectPublicKeyInfo, in "
              "base64." },
    { "insecure_skip_verify", OPT_BOOL, UPSTREAM_TLS(insecure_skip_verify), .def = "false",
      .help = "Believe anyone. For tests." },
    { .name = NULL },
};

static bool upstream_tls_is_whole(const struct option_context *ctx, const struct json *value,
                                  const char *path, const struct upstream_tls *text)
{
    struct sockaddr_storage addr;
    socklen_t len;

    if ((text->cert_file == NULL) != (text->key_file == NULL)) {
        report(ctx, value, path, text->cert_file == NULL ? "key_file" : "cert_file", NULL,
               text->cert_file == NULL ? "needs a \"cert_file\"" : "needs a \"key_file\"");
        return false;
    }
    if (text->server_name.len > 0 && !host_is_valid(text->server_name) &&
        !config_address_of(
            slice_str(arena_printf(ctx->arena, "[%.*s]:1", SLICE_FMT(text->server_name))), &addr,
            &len)) {
        report(ctx, value, path, "server_name", "write a host name without a port",
               "is not a host name");
        return false;
    }
    if (text->insecure_skip_verify && text->pins.count == 0) {
        diag_lint(ctx->diag, "upstream-tls-unverified",
                  json_get(value, SLICE("insecure_skip_verify")), path,
                  "name the issuer in \"ca_file\"",
                  "anyone on the way can answer, and read the tokens");
    }
    return true;
}

static bool read_pins(const struct option_context *ctx, const struct json *value, const char *path,
                      const struct option_strings *texts, struct tls_pin *ret)
{
    for (size_t i = 0; i < texts->count; i++) {
        if (!tls_pin_read(texts->items[i], &ret[i])) {
            report(ctx, value, path, "pin_sha256",
                   "openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform der | "
                   "openssl dgst -sha256 -binary | base64",
                   "is not the SHA-256 of a public key in base64");
            return false;
        }
    }
    return true;
}

void config_parse_upstream_tls(const struct option_context *ctx, const struct json *value,
                               const char *path, void *field)
{
    struct config_upstream *upstream = field;
    struct upstream_tls text = { 0 };
    unsigned errors = ctx->diag->errors;
    struct tls_pin pins[MAX_PINS];
    char why[TLS_WHY_BYTES];
    enum tls_part part;

    options_read(ctx, config_upstream_tls_table, value, path, NULL, &text);
    if (ctx->diag->errors != errors || !upstream_tls_is_whole(ctx, value, path, &text) ||
        !read_pins(ctx, value, path, &text.pins, pins)) {
        return;
    }
    const struct tls_client_options options = {
        .server_name =
            text.server_name.len == 0 ? NULL : arena_strdup(ctx->arena, text.server_name),
        .ca_file = text.ca_file,
        .cert_file = text.cert_file,
        .key_file = text.key_file,
        .pins = pins,
        .pin_count = text.pins.count,
        .insecure_skip_verify = text.insecure_skip_verify,
    };

    upstream->tls = tls_client_new(&options, &part, why);
    if (upstream->tls == NULL) {
        report(ctx, value, path, part_member(part, "ca_file"), part_remedy(part, why), why);
    }
}
