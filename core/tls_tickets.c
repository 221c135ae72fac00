/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that seal session tickets: of the process, so that any worker resumes what another began,
 * also after a reload.  A new key every hour; the two before it still open tickets.  Old keys are
 * forgotten for good: what was recorded cannot be decrypted with them later. */
#include "core/clock.h"
#include "core/tls_context.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <pthread.h>

#define KEYS             3u
#define ROTATE_MS        ((uint64_t)3600 * 1000)
#define TICKET_LIFE_S    7200
#define TICKET_NAME_SIZE 16u

struct ticket_key {
    unsigned char name[TICKET_NAME_SIZE];
    unsigned char aes[32], hmac[32];
};

/* The one piece of shared data that changes: a handshake takes the lock once or twice. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ticket_key keys[KEYS]; /* newest first */
static unsigned key_count;
static uint64_t made_ms;

/* Under the lock. */
static bool rotate(void)
{
    struct ticket_key fresh;
    uint64_t now = clock_ms();
    bool is_due = key_count == 0 || (now > made_ms && now - made_ms >= ROTATE_MS);

    if (!is_due) {
        return true;
    }
    if (RAND_bytes(fresh.name, sizeof(fresh.name)) != 1 ||
        RAND_priv_bytes(fresh.aes, sizeof(fresh.aes)) != 1 ||
        RAND_priv_bytes(fresh.hmac, sizeof(fresh.hmac)) != 1) {
        return key_count > 0;
    }
    for (unsigned i = KEYS - 1; i > 0; i--) {
        keys[i] = keys[i - 1];
    }
    keys[0] = fresh;
    /* Nothing came for that long: what the older keys sealed has expired. */
    key_count = now - made_ms >= KEYS * ROTATE_MS ? 1 : key_count + (key_count < KEYS);
    made_ms = now;
    OPENSSL_cleanse(&fresh, sizeof(fresh));
    OPENSSL_cleanse(keys + key_count, (KEYS - key_count) * sizeof(keys[0]));
    return true;
}

/* The newest, or the one called `name`: its age in keys, or -1. */
static int take_key(const unsigned char *name, struct ticket_key *ret)
{
    int found = -1;

    pthread_mutex_lock(&lock);
    if (rotate()) {
        for (unsigned i = 0; i < key_count && found < 0; i++) {
            if (name == NULL || CRYPTO_memcmp(keys[i].name, name, sizeof(keys[i].name)) == 0) {
                *ret = keys[i];
                found = (int)i;
            }
        }
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, sizeof(key->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 0: a full handshake instead; 1: go on; 2: and give a new ticket, as clients of TLS 1.3 use each one
 * once (RFC 8446 appendix C.4). */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int is_new)
{
    struct ticket_key key;
    int age = take_key(is_new ? NULL : name, &key);
    int result = age == 0 && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;

    if (age < 0) {
        return 0;
    }
    if (!set_mac(mac, &key)) {
        result = -1;
    } else if (!is_new) {
        result =
            EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.aes, iv) == 1 ? result : -1;
    } else {
        memcpy(name, key.name, sizeof(key.name));
        result = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
                         EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.aes, iv) == 1
                     ? 1
                     : -1;
    }
    OPENSSL_cleanse(&key, sizeof(key));
    return result;
}

int tls_tickets_use(SSL_CTX *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets only: no state here */
    SSL_CTX_set_timeout(ctx, TICKET_LIFE_S);
    (void)SSL_CTX_set_num_tickets(ctx, 1); /* each costs a write(); a resumed client gets another */
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1 ? 0 : ERR_CRYPTO;
}
