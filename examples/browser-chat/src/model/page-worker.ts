/** The one worker that models run in; another takes its place when its device is lost. */
let worker: Worker | undefined;

export function pageWorker(): Worker {
  worker ??= new Worker(new URL('../worker.ts', import.meta.url), { type: 'module' });
  return worker;
}

/** With all models in it. */
export function endWorker(): void {
  worker?.terminate();
  worker = undefined;
}
