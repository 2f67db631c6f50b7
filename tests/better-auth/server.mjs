// A real Better Auth on Postgres, as small as it gets: `DATABASE_URL=… node server.mjs [PORT]`. Prints its URL on one line.
// Also read: TRUSTED_ORIGINS (pages that may sign in, separated by commas), TOKEN_LIFETIME (such as 15m or 8s).
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { bearer, jwt } from "better-auth/plugins";
import pg from "pg";

// The parent holds the other end: without it, however it ended, nobody needs this server.
process.stdin.resume().on("end", () => process.exit());

const origins = (process.env.TRUSTED_ORIGINS ?? "").split(",").filter(Boolean);
const server = createServer();
await new Promise((resolve) => server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", resolve));
const baseURL = `http://127.0.0.1:${server.address().port}`;
const options = {
  baseURL,
  secret: "for tests only, and the same after a restart",
  database: new pg.Pool({ connectionString: process.env.DATABASE_URL }),
  emailAndPassword: { enabled: true },
  trustedOrigins: origins,
  // Private keys stay readable in the table: the tests forge tokens that nothing but a claim or a header gives away.
  plugins: [bearer(), jwt({ jwt: { expirationTime: process.env.TOKEN_LIFETIME ?? "15m" }, jwks: { disablePrivateKeyEncryption: true } })],
  telemetry: { enabled: false },
};
await (await getMigrations(options)).runMigrations();

/** How often each path was asked for, answered at /requests. */
const requests = {};
const handle = toNodeHandler(betterAuth(options));
server.on("request", (request, response) => {
  const path = request.url.split("?")[0];
  if (path === "/requests") return response.setHeader("content-type", "application/json").end(JSON.stringify(requests));
  if (request.method !== "OPTIONS") requests[path] = (requests[path] ?? 0) + 1;
  if (origins.includes(request.headers.origin)) {
    response.setHeader("access-control-allow-origin", request.headers.origin);
    response.setHeader("access-control-allow-credentials", "true");
    response.setHeader("access-control-allow-headers", "content-type");
    response.setHeader("vary", "origin");
  }
  if (request.method === "OPTIONS") return response.writeHead(204).end();
  handle(request, response);
});
console.log(baseURL);
