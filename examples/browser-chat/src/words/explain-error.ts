/** What went wrong, in words of the person in front of the page; the error's own are kept beside. */

export interface Explained {
  title: string;
  advice: string;
  /** What the library said. */
  detail: string;
  /** Whether only reloading the page helps. */
  reload?: boolean;
}

const WORDS: Readonly<Record<string, readonly [title: string, advice: string]>> = {
  'worker-failed': [
    'A part of this page is missing.',
    'The page was probably updated while it was open. Reload it; nothing on this device is lost.',
  ],
  'device-lost': [
    'The graphics device was lost.',
    'The driver, sleep or a lack of memory takes it away. Load the model again, or run it on WebAssembly.',
  ],
  'device-failed': [
    'The graphics device failed.',
    'It is probably out of memory. Close other tabs, store the weights smaller, or run on WebAssembly.',
  ],
  'does-not-fit': [
    'This model is too large for where it shall run.',
    'Nothing was downloaded. Under “Settings”, store the weights smaller, or choose another place to run.',
  ],
  'context-full': [
    'The conversation is longer than the model can hold.',
    'Start a new chat, or ask with fewer pictures.',
  ],
  'bad-image': [
    'This file is no picture that your browser can read.',
    'Choose a PNG, JPEG or WebP.',
  ],
  'range-ignored': [
    'This address sends whole files only.',
    'The server must answer range requests (206). Most static hosts do; many development servers do not.',
  ],
  io: [
    'The files could not be read.',
    'For an address: are you online, is it right, and does its server allow other pages to read it (CORS)? For a folder: was it moved or changed? Then choose it again.',
  ],
  'http-status': [
    'The address did not answer with a file.',
    'Is it right, and readable without logging in?',
  ],
  'source-changed': ['The files changed while they were read.', 'Load the model once more.'],
  'missing-file': [
    'This is no folder of a model.',
    'It needs config.json, tokenizer files and weights in *.safetensors, as Hugging Face has them.',
  ],
  'disk-full': [
    'The browser has no room for this model.',
    'What has come is kept. Remove another model or free space on the device, then go on; it also runs without being kept.',
  ],
  'no-storage': [
    'This browser keeps no files for pages.',
    'Private windows often do not. The model runs without being kept.',
  ],
  'output-locked': ['Another tab works on this model.', 'Wait until it is done, or close it.'],
  'bad-path': [
    'This is no folder or address that can be read.',
    'An address starts with https:// and names the folder that config.json lies in; a folder has each file once.',
  ],
};

const FAMILY = /model_type must be one of/;
const MEMORY = /out of memory|allocation failed|out of bounds|maximum memory size|OutOfMemory/i;
const NO_BACKEND = /chooseBackend/;

export function explainError(error: unknown): Explained {
  const { message = String(error), code } = error as { message?: string; code?: unknown };
  const words = wordsOf(message, String(code));
  return {
    title: words[0],
    advice: words[1],
    detail: message,
    ...(code === 'worker-failed' && { reload: true }),
  };
}

function wordsOf(message: string, code: string): readonly [string, string] {
  if (MEMORY.test(message)) {
    return [
      'Memory ran out.',
      'Close other tabs, run one model rather than two, or store the weights smaller under “Settings”.',
    ];
  }
  const known = WORDS[code];
  if (known) return known;
  if (FAMILY.test(message)) {
    return [
      'This model is of a family that the page does not know.',
      'It runs LLaVA-1.5, LLaVA-NeXT and Qwen2.5-VL, original or converted.',
    ];
  }
  if (NO_BACKEND.test(message)) {
    return [
      'This browser has no WebGPU that starts.',
      'Choose “Automatic” or “WebAssembly” under “Settings”: slower, and everywhere.',
    ];
  }
  if (message.startsWith('openVlm') || code !== 'undefined') {
    return [
      'The files are damaged, or not what they should be.',
      'Download them again, and compare their sizes with the original.',
    ];
  }
  return ['That did not work.', 'Try again; if it stays so, reload the page.'];
}

/** What a camera's refusal means. */
export function explainCamera(error: unknown): string {
  const { name } = error as { name?: string };
  if (name === 'NotAllowedError') {
    return 'The camera is blocked for this page. Allow it in the address bar, or choose a file.';
  }
  if (name === 'NotFoundError' || name === 'OverconstrainedError') {
    return 'No camera was found. Choose a file instead.';
  }
  if (name === 'NotReadableError' || name === 'AbortError') {
    return 'The camera is in use by another program. Close that, or choose a file.';
  }
  return 'The camera cannot be used here: that takes a secure address (https). Choose a file instead.';
}
