// Talks to a gateway with Node's OpenAI SDK and prints what came of it as JSON. Arguments: base URL, folder of the package.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [baseURL, folder] = process.argv.slice(2);
const sdk = await import(pathToFileURL(createRequire(`${folder}/index.js`).resolve("openai")));
const OpenAI = sdk.OpenAI ?? sdk.default;
const client = new OpenAI({ baseURL, apiKey: "sk-own-key-of-the-client", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello" }];
const model = "demo:n=6,delay=0ms";

async function chat() {
  const answer = await client.chat.completions.create({ model, messages });
  return { text: answer.choices[0].message.content, finish: answer.choices[0].finish_reason, id: answer._request_id };
}

async function stream(name) {
  let text = "";
  for await (const chunk of await client.chat.completions.create({ model: name, messages, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  return { text };
}

async function responses() {
  const events = [];
  for await (const event of await client.responses.create({ model, input: "Hello", stream: true })) {
    events.push(event.type);
  }
  return { first: events[0], last: events.at(-1) };
}

async function models() {
  const names = [];
  for await (const listed of client.models.list()) names.push(listed.id);
  return { names };
}

async function attempt(call) {
  try {
    return await call();
  } catch (error) {
    return {
      error: error.constructor.name, api: error instanceof OpenAI.APIError, status: error.status ?? null,
      code: error.code ?? null, type: error.type ?? null, id: error.requestID ?? null, message: error.message,
    };
  }
}

const failing = (name, more = {}) => () => client.chat.completions.create({ model: name, messages, ...more });
const calls = {
  chat, responses, models,
  stream: () => stream(model),
  cut: () => stream("demo:cut-3"),
  model: failing("nobody-has-it"),
  body: failing(model, { models: 7 }),
  limited: failing("demo:429"),
  unreachable: failing("demo:reset"),
  failed: failing("demo:500"),
  late: failing("demo:silent"),
  path: () => client.moderations.create({ input: "Hello" }),
};
const results = {};
for (const [name, call] of Object.entries(calls)) results[name] = await attempt(call);
console.log(JSON.stringify(results));
