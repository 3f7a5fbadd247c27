// The official TypeScript SDK, whatever its version, told what to do in lines of JSON.
//
// Rule of this file: it judges nothing. Its twin is `driver.py`. The SDK's folder is the first argument. One call a line
// comes in; pieces of a stream, and then the result or what was raised, go out.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const here = createRequire(process.argv[2] + "/");
const { default: Anthropic } = await import(pathToFileURL(here.resolve("@anthropic-ai/sdk")));

let lastRefusal; // the bytes of the last answer that is an error: the SDK keeps only what it parsed

const watching = async (...request) => {
  const response = await fetch(...request);
  if (!response.ok) lastRefusal = Buffer.from(await response.clone().arrayBuffer()).toString("latin1");
  return response;
};

const tell = (said) => process.stdout.write(JSON.stringify(said) + "\n");

const streamed = async (client, call, stopAfter) => {
  let told = 0;
  const stream = client.messages.stream(call);
  for await (const event of stream) {
    if (event.type !== "content_block_delta") continue;
    const piece = event.delta.text ?? event.delta.thinking;
    if (piece === undefined) continue;
    tell({ piece });
    if (++told === stopAfter) return null; // leaving the loop aborts the stream
  }
  return stream.finalMessage();
};

const done = async ({ op, client: given, call, stop_after: stopAfter }) => {
  const client = new Anthropic({
    apiKey: "made-up",
    baseURL: given.base_url,
    maxRetries: given.max_retries,
    defaultHeaders: given.default_headers,
    fetch: watching,
  });
  if (op === "create") return client.messages.create(call);
  if (op === "stream") return streamed(client, call, stopAfter);
  if (op === "count_tokens") return client.messages.countTokens(call);
  if (op === "models") return (await client.models.list(call)).data.map((model) => model.id);
  throw new Error(op);
};

const raised = (error) => ({
  type: error.constructor.name,
  message: error.message,
  status: error.status ?? null,
  request_id: error.requestID ?? null,
  body: lastRefusal ?? null,
});

const { version } = here(here.resolve("@anthropic-ai/sdk").replace(/(@anthropic-ai\/sdk)\/.*/, "$1/package.json"));
tell({ version });
for await (const line of createInterface({ input: process.stdin })) {
  lastRefusal = undefined;
  try {
    tell({ result: (await done(JSON.parse(line))) ?? null });
  } catch (error) {
    tell({ raised: raised(error) });
  }
}
