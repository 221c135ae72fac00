/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens for tests. */
#pragma once

/* "header.claims.signature" of raw JSON texts, signed with HS256; to be freed. */
char *hs256_token(const char *header, const char *claims, const char *secret);
