/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "gateway/cmd.h"
#include "gateway/cmd_config.h"
#include "gateway/cmd_key.h"
#include "gateway/cmd_keys.h"
#include "gateway/cmd_replace.h"
#include "plugins/issuer/issuer.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The ring while it is changed; its folder is locked. */
struct change {
    const struct keys_rotation *rotation;
    char *file;
    int lock; /* -1: none */
    struct key_ring ring;
    struct key_ring_waits waits;
    const struct jwa *alg; /* of a new key */
    int64_t now;
};

static const char *const step_names[] = {
    [KEY_RING_PUBLISH] = "publish",
    [KEY_RING_SIGN] = "sign",
    [KEY_RING_REMOVE] = "remove",
};

struct time_text {
    char text[CLOCK_RFC3339_BYTES];
};

static struct time_text time_text(int64_t unix_time)
{
    struct time_text ret;

    clock_format_rfc3339((uint64_t)unix_time * 1000000u, ret.text);
    memcpy(ret.text + 19, "Z", 2); /* without a fraction */
    return ret;
}

/* ---- files ---- */

static bool path_of(const struct change *change, const char *name, char ret[PATH_MAX])
{
    const char *slash = strrchr(change->file, '/');
    int folder_len = slash == NULL ? 0 : (int)(slash - change->file) + 1;

    return snprintf(ret, PATH_MAX, "%.*s%s", folder_len, change->file, name) < PATH_MAX;
}

/* Whoever may read the ring reads the key, too: root makes it for the gateway's user. */
static int give_to_owner(const struct change *change, const char *path)
{
    struct stat ring, key;

    if (stat(change->file, &ring) != 0 || stat(path, &key) != 0) {
        return ERR_IO;
    }
    if ((ring.st_uid != key.st_uid || ring.st_gid != key.st_gid) &&
        lchown(path, ring.st_uid, ring.st_gid) != 0) {
        fprintf(stderr, "jwtgate keys: cannot give %s to the owner of %s: %s\n", path, change->file,
                strerror(errno));
        return ERR_IO;
    }
    return 0;
}

static int write_ring(const struct change *change)
{
    struct json_writer w;
    int err = ERR_NO_MEMORY;

    json_writer_init(&w, KEY_RING_MAX_BYTES);
    key_ring_write(&change->ring, &w);
    if (!w.failed) {
        err = change->rotation->begins ? cmd_write_file(change->file, 0600, slice_of(w.buf, w.len))
                                       : cmd_replace_file(change->file, slice_of(w.buf, w.len));
    }
    json_writer_done(&w);
    return err;
}

static int read_ring(struct change *change)
{
    char text[KEY_RING_MAX_BYTES + 1];
    const char *why = NULL;
    size_t len = 0;
    int err = cmd_read_text(change->file, text, sizeof(text), &len);

    if (err < 0) {
        return err;
    }
    err = key_ring_read(slice_of(text, len), &change->ring, &why);
    if (err < 0) {
        fprintf(stderr, "jwtgate keys: %s: %s\n", change->file, why);
    }
    return err;
}

/* ---- steps ---- */

/* A new key in a file beside the ring; what `ret` says besides is the caller's. */
static int make_key(const struct change *change, struct key_ring_entry *ret)
{
    char path[PATH_MAX];
    struct jwa_key key = { .pkey = NULL };
    int err =
        cmd_key_generate(change->alg, cmd_key_bits(change->rotation->bits, change->alg), &key);

    ret->alg = change->alg;
    if (err == 0) {
        err = jwk_thumbprint(&key, ret->kid);
    }
    if (err == 0) {
        snprintf(ret->file, sizeof(ret->file), "signing-%s.%s", ret->kid,
                 key.type == JWA_KEY_OCT ? "secret" : "pem");
        err = path_of(change, ret->file, path) ? cmd_key_write(path, &key, true) : ERR_TOO_BIG;
    }
    if (err == 0 && !change->rotation->begins) {
        err = give_to_owner(change, path);
    }
    jwa_key_done(&key);
    return err;
}

static void remove_key(const struct change *change, const struct key_ring_entry *entry)
{
    char path[PATH_MAX];

    if (path_of(change, entry->file, path) && unlink(path) != 0) {
        fprintf(stderr, "jwtgate keys: cannot remove %s: %s\n", path, strerror(errno));
    }
}

static void say_next(const struct change *change)
{
    struct key_ring_plan plan;

    key_ring_next(&change->ring, &change->waits, &plan);
    fprintf(stderr, "next: %s", step_names[plan.step]);
    if (plan.safe_at > 0) {
        fprintf(stderr, " %s, from %s on", change->ring.entries[plan.index].kid,
                time_text(plan.safe_at).text);
    }
    fputs("\nreload every gateway that reads the file; one elsewhere needs the new folder first\n",
          stderr);
}

static void say_done(const struct change *change, const struct key_ring_plan *plan,
                     const struct key_ring_entry *entry)
{
    struct json_writer w;

    if (!change->rotation->as_json) {
        printf("%s %s\n", step_names[plan->step], entry->kid);
        say_next(change);
        return;
    }
    json_writer_init(&w, KEY_RING_MAX_BYTES);
    json_write_begin(&w, NULL, '{');
    json_write_string(&w, "step", slice_str(step_names[plan->step]));
    json_write_string(&w, "kid", slice_str(entry->kid));
    json_write_string(&w, "alg", entry->alg->name);
    json_write_end(&w, '}');
    printf("%.*s\n", (int)w.len, w.buf);
    json_writer_done(&w);
}

/* What happens to tokens when the step comes too early. */
static const char *danger_of(enum key_ring_step step)
{
    switch (step) {
    case KEY_RING_PUBLISH: break;
    case KEY_RING_SIGN: return "verifiers that have not fetched it yet will refuse good tokens";
    case KEY_RING_REMOVE: return "tokens that it signed are still valid and will be refused";
    }
    return "";
}

static bool is_allowed(const struct change *change, const struct key_ring_plan *plan)
{
    const struct key_ring_entry *entry = &change->ring.entries[plan->index];

    if (change->now >= plan->safe_at) {
        return true;
    }
    fprintf(stderr, "jwtgate keys: %s%s %s is safe from %s on: it is %s since %s; %s\n",
            change->rotation->is_forced ? "WARNING, forced: " : "refused: ", step_names[plan->step],
            entry->kid, time_text(plan->safe_at).text, key_state_name(entry->state),
            time_text(entry->since).text, danger_of(plan->step));
    return change->rotation->is_forced;
}

static int take_step(struct change *change)
{
    struct key_ring_plan plan;
    struct key_ring_entry entry;
    int err = 0;

    key_ring_next(&change->ring, &change->waits, &plan);
    if (!is_allowed(change, &plan)) {
        return ERR_BUSY;
    }
    if (plan.step == KEY_RING_PUBLISH) {
        err = make_key(change, &entry);
    } else {
        entry = change->ring.entries[plan.index];
    }
    if (err == 0) {
        key_ring_take(&change->ring, &plan, &entry, change->now);
        err = write_ring(change);
    }
    if (err < 0) {
        return err; /* a new key that did not get into the ring stays, unused */
    }
    if (plan.step == KEY_RING_REMOVE) {
        remove_key(change, &entry);
    }
    say_done(change, &plan, &entry);
    return 0;
}

/* The first key: nobody has cached a set without it. */
static int begin(struct change *change)
{
    struct key_ring_plan plan = { .step = KEY_RING_PUBLISH };
    struct key_ring_entry *entry = &change->ring.entries[0];
    int err;

    if (access(change->file, F_OK) == 0) {
        fprintf(stderr, "jwtgate keys: %s is there already; leave out --init\n", change->file);
        return ERR_EXISTS;
    }
    err = make_key(change, entry);
    if (err < 0) {
        return err;
    }
    entry->state = KEY_SIGNING;
    entry->since = change->now;
    change->ring.count = 1;
    err = write_ring(change);
    if (err < 0) {
        remove_key(change, entry);
        return err;
    }
    plan.step = KEY_RING_SIGN;
    say_done(change, &plan, entry);
    return 0;
}

/* ---- the command ---- */

static int find_file(struct change *change)
{
    bool is_missing = false;
    struct diag diag;

    diag_init(&diag);
    change->file = config_find_path(change->rotation->config, "token_issuer", "signing_keys_file",
                                    &diag, &is_missing);
    if (diag.errors > 0) {
        diag_print(&diag, stderr);
    } else if (change->file == NULL) {
        fputs("jwtgate keys: the configuration has no token_issuer.signing_keys_file\n", stderr);
    }
    diag_done(&diag);
    return change->file != NULL ? EXIT_YES : is_missing ? EXIT_UNKNOWN : EXIT_NO;
}

/* What the configuration says about the next step; a whole good one is asked for. */
static int read_config(struct change *change)
{
    int exit_code = EXIT_YES;
    struct config *config = cmd_load_config(change->rotation->config, &exit_code);

    if (config == NULL) {
        return exit_code;
    }
    const struct issuer *issuer = issuer_of_top(cmd_top(config, &issuer_plugin));

    change->waits = issuer_waits(issuer);
    if (change->alg == NULL) {
        change->alg = jwa_by_id((enum jwa_id)issuer->access_token.algorithm);
    }
    config_unref(config);
    return EXIT_YES;
}

static int run(struct change *change)
{
    int exit_code = find_file(change);
    int err;

    if (exit_code != EXIT_YES) {
        return exit_code;
    }
    change->lock = cmd_replace_lock(change->file);
    if (change->lock < 0) {
        return EXIT_UNKNOWN;
    }
    if (!change->rotation->begins) {
        exit_code = read_config(change);
        if (exit_code != EXIT_YES) {
            return exit_code;
        }
    } else if (change->alg == NULL) {
        change->alg = jwa_by_id(JWA_RS256);
    }
    if (cmd_key_bits(change->rotation->bits, change->alg) < 0) {
        return cmd_usage_error(change->rotation->line, "--bits is 2048, 3072 or 4096, for RSA");
    }
    err = change->rotation->begins ? begin(change) : read_ring(change);
    if (err == 0 && !change->rotation->begins) {
        err = take_step(change);
    }
    return err == 0 ? EXIT_YES : err == ERR_IO ? EXIT_UNKNOWN : EXIT_NO;
}

int keys_rotate(const struct keys_rotation *rotation)
{
    struct change change = { .rotation = rotation, .lock = -1, .now = (int64_t)time(NULL) };

    if (rotation->alg != NULL) {
        change.alg = jwa_find(slice_str(rotation->alg));
        if (change.alg == NULL) {
            return cmd_usage_error(rotation->line, "no algorithm \"%s\"", rotation->alg);
        }
    }
    int exit_code = run(&change);

    if (change.lock >= 0) {
        close(change.lock);
    }
    free(change.file);
    return exit_code;
}
