// A rain tank: a simulator in JavaScript that joins a twin. Plain Node, no package:
// `node rain-tank.js [PORT [IDLE]]`; a session that lies idle for IDLE seconds (3600) is ended.
//
// Rain R fills a tank that empties in proportion to what is in it: dS/dt = R - S/K. Over a window of even rain the
// exact solution is S1 = R K + (S0 - R K) exp(-h / K), so the result does not depend on the size of the step.
// What every path means stands in docs/reference/remote.md.
"use strict";
const http = require("node:http");
const crypto = require("node:crypto");
const fs = require("node:fs");

const LARGEST = 16 * 2 ** 20; // bytes of a request
const MOST = 100; // sessions at once
const IDLE = 1000 * Number(process.argv[3] ?? 3600); // milliseconds that a session may lie idle
const HOUR = 3600e6; // time is counted in microseconds from the run's start
const digest = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");

// -- what it is: said once, to people, to twins and to tools ---------------------------------------------------

const time = { kind: "instant" };
const rain = { kind: "number", unit: "mm/h", quantity: "rainfall_rate", cell: "mean", range: [0, 1000] };
const level = { kind: "number", unit: "mm", quantity: "x:water_depth" };
const manifest = {
  contract: 1,
  id: "rain-tank",
  kind: "simulator",
  title: "Rain tank",
  description: "A linear reservoir: depth of water after rain, and a hole that lets out what lies in it.",
  inputs: { rain: { shape: "table", columns: { time, rain } } },
  outputs: { level: { shape: "table", columns: { time, level } } },
  params: {
    type: "object",
    additionalProperties: false,
    properties: {
      delay: { type: "number", exclusiveMinimum: 0, default: 7200, description: "Seconds after which a third is left." },
      level: { type: "number", minimum: 0, default: 0, description: "Depth of water at the start, in mm." },
    },
  },
  units: { delay: "s", level: "mm" },
  capabilities: ["state"],
  // Changes whenever this file does: so a twin may take a result from its store.
  digest: digest(fs.readFileSync(__filename)),
};

const JSON_TYPE = "application/json", BYTES = "application/octet-stream", PROBLEM = "application/problem+json";
const holds = (type) => ({ [type]: { schema: { type: type === BYTES ? "string" : "object" } } });
const problems = { description: "a problem, in the words of the contract", content: holds(PROBLEM) };
const gives = (status, type) => ({ [status]: { description: "done", ...(type && { content: holds(type) }) }, default: problems });
const takes = (type) => ({ required: true, content: holds(type) });
const id = { name: "id", in: "path", required: true, schema: { type: "string" } };
const api = {
  openapi: "3.0.3",
  info: { title: manifest.title, version: "1.0.0" },
  paths: {
    "/component": { get: { responses: gives(200, JSON_TYPE) } },
    "/sessions": { post: { requestBody: takes(JSON_TYPE), responses: gives(201, JSON_TYPE) } },
    "/sessions/{id}": { parameters: [id], delete: { responses: gives(204) } },
    "/sessions/{id}/step": { parameters: [id], post: { requestBody: takes(JSON_TYPE), responses: gives(200, JSON_TYPE) } },
    "/sessions/{id}/state": {
      parameters: [id],
      get: { responses: gives(200, BYTES) },
      put: { requestBody: takes(BYTES), responses: gives(204) },
    },
  },
};

// -- the model itself --------------------------------------------------------------------------------------------

class Tank {
  constructor(params, context) {
    const { delay = 7200, level = 0, ...odd } = params ?? {};
    if (Object.keys(odd).length) throw refusal("ParamError", `there is no parameter '${Object.keys(odd)[0]}'`);
    if (!depth(level) || !depth(delay) || !delay) throw refusal("ParamError", "delay is above 0, level at least 0");
    this.hours = delay / 3600;
    this.level = level;
    this.begin = Date.parse(context?.start ?? "2000-01-01T00:00:00Z");
    if (Number.isNaN(this.begin)) throw refusal("InputError", "context.start is no time");
  }

  advance(rain, start, until) {
    const full = rain * this.hours;
    this.level = full + (this.level - full) * Math.exp(-(until - start) / HOUR / this.hours);
  }

  table(at) {
    const stamp = new Date(this.begin + at / 1000).toISOString();
    return { level: { columns: { time: [stamp], level: [this.level] } } };
  }
}

// -- sessions: each holds one tank ---------------------------------------------------------------------------------

const sessions = new Map();
const keys = new Map(); // Idempotency-Key -> the session made for it; it goes with its session, so there are few

function create(message, asked, key) {
  const known = sessions.get(keys.get(key));
  if (known && known.made !== asked) throw problem(409, "this Idempotency-Key was used for another session");
  if (known) return known.first; // the answer got lost on its way: nothing is made twice
  if (sessions.size >= MOST) throw problem(429, "too many sessions");
  const name = crypto.randomUUID();
  const tank = new Tank(message.params, message.context);
  const first = { session: name, outputs: tank.table(0) };
  sessions.set(name, { tank, key, first, made: asked, used: now(), seq: 0, asked: "", answer: null });
  if (key) keys.set(key, name);
  return first;
}

function end(name) {
  keys.delete(sessions.get(name).key);
  sessions.delete(name);
}

function endIdle() {
  for (const [name, session] of sessions) if (now() - session.used >= IDLE) end(name);
}

function step(session, message, asked) {
  const { seq, start, until, inputs } = message;
  if (seq === session.seq && session.answer) {
    if (asked !== session.asked) throw problem(409, `seq ${seq} was another step`);
    return session.answer; // the answer got lost on its way: give it again, and step nothing
  }
  if (seq !== session.seq + 1) throw problem(409, `the next seq is ${session.seq + 1}`);
  if (![start, until].every(Number.isSafeInteger) || start >= until) throw problem(400, "until lies after start");
  const values = inputs?.rain?.columns?.rain;
  if (!Array.isArray(values) || values.length !== 1 || !depth(values[0]))
    throw refusal("InputError", "rain is one number, at least 0");
  session.tank.advance(values[0], start, until);
  Object.assign(session, { seq, asked, answer: { seq, reached: until, outputs: session.tank.table(until) } });
  return session.answer;
}

function restore(session, text) {
  let level;
  try {
    level = JSON.parse(text);
  } catch {} // told below
  if (!depth(level)) throw refusal("InputError", "this is no state of a tank");
  session.tank.level = level;
}

// -- HTTP --------------------------------------------------------------------------------------------------------

const problem = (status, title) => Object.assign(new Error(title), { status });
const utf8 = new TextDecoder("utf-8", { fatal: true }); // what is no UTF-8 is refused, not guessed
const now = () => performance.now(); // a clock that nobody sets back
const depth = (value) => Number.isFinite(value) && value >= 0;
const refusal = (kind, what) => Object.assign(problem(400, what), { ldt: { class: kind, code: kind, what } });

function json(bytes) {
  try {
    const value = JSON.parse(utf8.decode(bytes) || "{}");
    if (value && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {} // told below
  throw problem(400, "a JSON object is expected");
}

function answer(request, bytes) {
  endIdle();
  const [, room, name, part] = request.url.split("?")[0].split("/");
  const route = `${request.method} ${room}${name ? "/:" : ""}${part ? `/${part}` : ""}`;
  if (route === "GET ") return [200, { title: manifest.title, links: [{ href: "/api", rel: "service-desc" }] }];
  if (route === "GET component") return [200, manifest];
  if (route === "GET api") return [200, api];
  const type = part === "state" ? BYTES : JSON_TYPE;
  if (/^P/.test(request.method) && request.headers["content-type"]?.split(";")[0].trim() !== type)
    throw problem(415, `bodies here are ${type}`);
  if (route === "POST sessions") return [201, create(json(bytes), digest(bytes), request.headers["idempotency-key"])];
  const session = sessions.get(name);
  if (room !== "sessions" || !session) throw problem(404, "there is no such thing");
  session.used = now();
  if (route === "POST sessions/:/step") return [200, step(session, json(bytes), digest(bytes))];
  if (route === "GET sessions/:/state") return [200, Buffer.from(JSON.stringify(session.tank.level))];
  if (route === "PUT sessions/:/state") return [204, restore(session, bytes.toString())];
  if (route === "DELETE sessions/:") return [204, end(name)];
  throw problem(405, "that is not done here");
}

const server = http.createServer((request, response) => {
  const parts = [];
  let size = 0;
  request.on("data", (part) => ((size += part.length) <= LARGEST ? parts.push(part) : parts.splice(0)));
  request.on("end", () => {
    let status, content, type;
    try {
      if (size > LARGEST) throw problem(413, "that is too large");
      [status, content] = answer(request, Buffer.concat(parts));
      type = Buffer.isBuffer(content) ? BYTES : JSON_TYPE;
    } catch (error) {
      status = error.status ?? 500;
      content = { title: error.message, status, ldt: error.ldt };
      type = PROBLEM;
    }
    const data = content === undefined ? "" : Buffer.isBuffer(content) ? content : JSON.stringify(content);
    response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(data) }).end(data);
  });
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => {
  console.log(`rain-tank at http://127.0.0.1:${server.address().port}`);
});
