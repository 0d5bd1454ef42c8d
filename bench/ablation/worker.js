/** A process that measures cells one by one, as it is told; models are loaded when first needed. */
import { useBackend } from 'mha2mla/node';
import { MeasuredModel } from './measured-model.js';

const [choice, pictures] = process.argv.slice(2);
const backend = await useBackend(choice);
/** @type {Map<string, Promise<MeasuredModel>>} */
const models = new Map();

process.on('message', async ({ cell, healedPath }) => {
  try {
    const { family, options, cache } = cell;
    const limit = pictures === undefined ? undefined : Number(pictures);
    if (!models.has(family)) models.set(family, MeasuredModel.load(family, limit));
    const model = await models.get(family);
    const result = options || cache ? await model.measure(cell, healedPath) : model.original;
    process.send({ result: { backend, ...result } });
  } catch (error) {
    process.send({ error: error instanceof Error ? error.stack : String(error) });
  }
});
// Whoever measures has ended, or was killed: so does this, in the middle of a cell if need be.
process.on('disconnect', () => process.exit());
process.send({ ready: true });
