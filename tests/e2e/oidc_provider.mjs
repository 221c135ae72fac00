// SPDX-License-Identifier: Apache-2.0
// A real OpenID provider for the tests: oidc_provider.mjs PORT.  Tokens by client_credentials.
// Lines on stdin: "add" publishes a new key and signs with it, "drop" withdraws all but the newest;
// each is answered with "done" on stdout.
import crypto from "node:crypto";
import http from "node:http";
import readline from "node:readline";
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const audience = "orders";
let keys = [];
let handler;

function addKey() {
  const { privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  keys.push({ ...privateKey.export({ format: "jwk" }), kid: crypto.randomUUID(), use: "sig", alg: "RS256" });
}

// The keys of a Provider are fixed: a new one takes over.
function serve() {
  const kid = keys.at(-1).kid;
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [{ client_id: "shop", client_secret: "of-the-shop", grant_types: ["client_credentials"],
                redirect_uris: [], response_types: [] }],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:orders",
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "orders:read", audience, accessTokenTTL: 600, accessTokenFormat: "jwt",
          jwt: { sign: { alg: "RS256", kid } },
        }),
      },
    },
  });
  handler = provider.callback();
}

addKey();
serve();
http.createServer((req, res) => handler(req, res)).listen(port, "127.0.0.1", () => console.log("done"));
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "add") addKey();
  else keys = keys.slice(-1);
  serve();
  console.log("done");
}).on("close", () => process.exit(0));
