// A rain tank as a component of a Local Digital Twin, in plain Node: no package, some 100 lines.
// Usage: node server.mjs [PORT]   (0 or nothing: any free port; the address is printed)
//
// The level of a linear reservoir: level' = rain - k * level, solved exactly over each step. Rain in m/h, level in m.
import http from "node:http";
import { randomUUID } from "node:crypto";

const number = (unit, quantity, cell) => ({ kind: "number", unit, quantity, cell });
const manifest = {
  id: "rain-tank",
  kind: "simulator",
  contract: 1,
  title: "Rain tank (Node)",
  description: "A linear reservoir that fills with rain and drains by a share of its level.",
  inputs: { rain: { columns: { rain: number("m/h", "x:rain", "mean") } } },
  outputs: { level: { columns: { level: number("m", "x:tank_level", "point") } } },
  params: {
    type: "object",
    additionalProperties: false,
    properties: {
      drain: { type: "number", exclusiveMinimum: 0, default: 0.5, description: "Share that drains, per hour." },
      first: { type: "number", minimum: 0, default: 0, description: "Level at the start, m." },
    },
  },
  capabilities: ["state"],
  media: ["application/json"],
  version: "1.0.0",
  digest: "rain-tank 1.0.0", // changes whenever the answers would
};

const answers = { 200: { description: "done" }, default: { description: "a problem, as application/problem+json" } };
const session = { name: "id", in: "path", required: true, schema: { type: "string" } };
const body = { requestBody: { content: { "application/json": { schema: { type: "object" } } } } };
const api = {
  openapi: "3.1.0",
  info: { title: manifest.title, version: manifest.version },
  paths: {
    "/component": { get: { responses: answers } },
    "/sessions": { post: { ...body, responses: answers } },
    "/sessions/{id}": { delete: { parameters: [session], responses: answers } },
    "/sessions/{id}/step": { post: { ...body, parameters: [session], responses: answers } },
    "/sessions/{id}/state": {
      get: { parameters: [session], responses: answers },
      put: { parameters: [session], responses: answers },
    },
  },
};

class Problem extends Error {
  constructor(status, detail, type = "about:blank") {
    super(detail);
    Object.assign(this, { status, type });
  }
}

const sessions = new Map();
const table = (level) => ({ level: { columns: { level: [level] } } });

function begin(said, key) {
  const known = [...sessions.values()].find((s) => key && s.key === key);
  if (known) return known.first; // the client did not hear the first answer
  const { drain = 0.5, first = 0 } = said.params ?? {};
  if (!(drain > 0) || !(first >= 0)) throw new Problem(400, "drain is above zero, and first not below");
  const id = randomUUID();
  const answer = { session: id, outputs: table(first) };
  sessions.set(id, { key, drain, level: first, seq: 0, asked: "", answer: null, first: answer });
  return answer;
}

function step(tank, said, asked) {
  if (said.seq === tank.seq && asked === tank.asked) return tank.answer; // asked again: done once
  if (said.seq !== tank.seq + 1) throw new Problem(409, `the next seq is ${tank.seq + 1}, not ${said.seq}`);
  const rain = said.inputs?.rain?.columns?.rain?.[0];
  if (typeof rain !== "number") throw new Problem(400, "the input 'rain' is missing");
  const hours = (said.until - said.start) / 3_600_000_000; // the clock counts microseconds
  const kept = Math.exp(-tank.drain * hours);
  tank.level = tank.level * kept + (rain / tank.drain) * (1 - kept);
  tank.answer = { reached: said.until, outputs: table(tank.level) };
  Object.assign(tank, { seq: said.seq, asked });
  return tank.answer;
}

function route(method, path, raw, headers) {
  const said = () => JSON.parse(raw.toString("utf8") || "{}");
  if (method === "GET" && path === "/component") return manifest;
  if (method === "GET" && path === "/api") return api;
  if (method === "POST" && path === "/sessions") return begin(said(), headers["idempotency-key"]);
  const [, top, id, what] = path.split("/");
  const tank = top === "sessions" ? sessions.get(id) : undefined;
  if (!tank) throw new Problem(404, `there is nothing at ${path}`, top === "sessions" ? "urn:ldt:no-session" : undefined);
  if (method === "POST" && what === "step") return step(tank, said(), raw.toString("utf8"));
  if (method === "GET" && what === "state") return Buffer.from(JSON.stringify(tank.level));
  if (method === "PUT" && what === "state") return void (tank.level = said());
  if (method === "DELETE" && !what) return void sessions.delete(id);
  throw new Problem(405, `${method} is not for ${path}`);
}

const server = http.createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  let status = 200;
  let content;
  let media = "application/json";
  try {
    content = route(request.method, new URL(request.url, "http://here").pathname, Buffer.concat(parts), request.headers);
    if (content === undefined) status = 204;
    if (Buffer.isBuffer(content)) media = "application/octet-stream";
  } catch (error) {
    status = error.status ?? (error instanceof SyntaxError ? 400 : 500);
    media = "application/problem+json";
    content = { type: error.type ?? "about:blank", title: error.message, status, detail: error.message };
  }
  response.writeHead(status, { "Content-Type": media });
  response.end(content === undefined || Buffer.isBuffer(content) ? content : JSON.stringify(content));
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
