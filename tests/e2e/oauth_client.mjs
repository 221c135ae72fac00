// SPDX-License-Identifier: Apache-2.0
// A client that knows an issuer by its metadata alone:
//   oauth_client.mjs ISSUER oauth2|oidc basic|post ID < {"secret", "steps": [["token", {...}] | ["introspect", TOKEN?] | ["revoke", TOKEN?]]}
// Without TOKEN the last one issued.  Prints what each step gave, as JSON.
import fs from "node:fs";
import * as client from "openid-client";

const [issuer, algorithm, method, id] = process.argv.slice(2);
const { secret, steps } = JSON.parse(fs.readFileSync(0, "utf8"));
const auth = method === "basic" ? client.ClientSecretBasic(secret) : client.ClientSecretPost(secret);
const config = await client.discovery(new URL(issuer), id, undefined, auth,
  { algorithm, execute: [client.allowInsecureRequests] });
const answers = [];
let last;

for (const [step, argument] of steps) {
  try {
    if (step === "token") {
      const answer = await client.clientCredentialsGrant(config, argument);
      last = answer.access_token;
      answers.push(answer);
    } else if (step === "introspect") {
      answers.push(await client.tokenIntrospection(config, argument ?? last));
    } else {
      await client.tokenRevocation(config, argument ?? last);
      answers.push("revoked");
    }
  } catch (error) {
    answers.push({ failed: error.error ?? error.code ?? String(error), status: error.status });
  }
}
console.log(JSON.stringify(answers));
