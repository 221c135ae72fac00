// SPDX-License-Identifier: Apache-2.0
// Signs and verifies with npm's "jose", for the tests: a list of tasks in JSON on standard input, a list of results on
// standard output.
import { webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { SignJWT, createLocalJWKSet, importJWK, jwtVerify } from 'jose'

// Node 18, which Debian 12 has, does not make them global by itself.
globalThis.crypto ??= webcrypto
globalThis.CryptoKey ??= webcrypto.CryptoKey

async function sign ({ jwk, alg, kid, claims }) {
  return new SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'at+jwt' }).sign(await importJWK(jwk, alg))
}

async function verify ({ jwk, set, alg, token, issuer, audience }) {
  const key = set ? createLocalJWKSet(set) : await importJWK(jwk, alg)
  const { payload, protectedHeader } = await jwtVerify(token, key, { algorithms: [alg], issuer, audience, typ: 'at+jwt' })
  return { payload, protectedHeader }
}

const results = []
for (const task of JSON.parse(readFileSync(0, 'utf8'))) {
  try {
    results.push(await (task.op === 'sign' ? sign : verify)(task))
  } catch (error) {
    results.push({ error: `${error.code}: ${error.message}` })
  }
}
console.log(JSON.stringify(results))
