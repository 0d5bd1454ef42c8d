/** Loads the models and answers; the page only shows. */
import { llava, llavaNext, qwen25Vl, serveModel } from '@mha2mla/vlm-adapters';
import { registerBackends } from './backends';

let registered: Promise<void> | undefined;

serveModel({
  families: [llava, llavaNext, qwen25Vl],
  prepare() {
    registered ??= registerBackends();
    return registered;
  },
});
