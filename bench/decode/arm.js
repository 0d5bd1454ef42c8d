/**
 * A small model as a caller runs it: `node arm.js FOLDER BACKEND`. Reads a request a line, `{ question,
 * tokens }`, and answers with milliseconds of the wall and of the processor from the first token to
 * the last, which `generate` picks greedily, and the tokens.
 */
import { createInterface } from 'node:readline';
import { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { openModelFolder, useBackend } from 'mha2mla/node';
import { promptsOf } from './prompts.js';

const [folder, backend] = process.argv.slice(2);
await useBackend(backend);
const { source } = await openModelFolder(folder);
const model = await VisionLanguageModel.load(source);
const prompts = await promptsOf(source);
process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
process.exit();

async function answer({ question, tokens }) {
  const said = [];
  let [wall, cpu] = [0, undefined];
  // No end token: as many tokens from all arms.
  for await (const step of model.generate(prompts[question], {
    maxTokens: tokens,
    eosTokenIds: [],
  })) {
    if (said.length === 0) [wall, cpu] = [performance.now(), process.cpuUsage()];
    said.push(step.tokens[0]);
  }
  const { user, system } = process.cpuUsage(cpu);
  return { wall: performance.now() - wall, cpu: (user + system) / 1000, tokens: said };
}
