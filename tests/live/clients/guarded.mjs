// Stream many answers with the official Node client, and write all that came as JSON.
// The requests stand on stdin, as a list; for each answer a line is written.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, baseURL] = process.argv.slice(2);
const entry = createRequire(pathToFileURL(`${folder}/`)).resolve("openai");
const { default: OpenAI } = await import(pathToFileURL(entry));
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0 });

for (const request of JSON.parse(readFileSync(0, "utf8"))) {
  const chunks = [];
  let error = null;
  try {
    const stream = await client.chat.completions.create({ ...request, stream: true });
    for await (const chunk of stream) chunks.push(chunk);
  } catch (caught) {
    error = [caught.constructor.name, String(caught), JSON.stringify(caught)];
  }
  console.log(JSON.stringify({ chunks, error }));
}
