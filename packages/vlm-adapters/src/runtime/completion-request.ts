/** What is taken of OpenAI's request, beside `stream`. */

export type CompletionPart =
  | { type: 'text'; text: string }
  | { type: 'image_url'; image_url: { url: string } };

/** What `create` takes of OpenAI's parameters; others are refused. */
export interface CompletionRequest {
  messages: readonly { role: string; content: string | readonly CompletionPart[] }[];
  /** Stands in the answer, whatever it is. */
  model?: string;
  max_tokens?: number | null;
  max_completion_tokens?: number | null;
  /** Default 0, as everywhere here; OpenAI's is 1. */
  temperature?: number | null;
  top_p?: number | null;
  seed?: number | null;
  stop?: string | readonly string[] | null;
  /** The last chunk has the usage; with `include_usage` it has nothing else. */
  stream_options?: { include_usage?: boolean } | null;
}
