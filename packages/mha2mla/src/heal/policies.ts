/**
 * What of a layer is trained, by the names of MHA2MLA-VLM's freeze lists (its `freeze_version`):
 * linear maps as a pattern of whole names, and whether norms are.
 */
export interface Policy {
  targetModules: string | readonly string[];
  /** The weights of all norms. */
  norms: boolean;
}

const POLICIES = {
  /** Attention and norms. */
  v2: { targetModules: '.*self_attn\\..*', norms: true },
  /** Attention without its output. */
  v3: { targetModules: '.*self_attn\\.(?!o_proj$).*', norms: false },
  /** Without the rotary keys, too, but with norms: the paper's first stage. */
  v4: { targetModules: '.*self_attn\\.(?!(o_proj|k_r_proj)$).*', norms: true },
  /** Keys' and values' latents alone. */
  v5: { targetModules: '.*self_attn\\.(?!(o_proj|k_r_proj|q_proj)$).*', norms: false },
  /** And of these only what leads into the latent. */
  v6: {
    targetModules: '.*self_attn\\.(?!(o_proj|k_r_proj|q_proj)$)(?!.*\\bup_[kv]$).*',
    norms: false,
  },
} satisfies Record<string, Policy>;

/** A policy by its name; any other string is a pattern, without norms. */
export function policyOf(named: string | readonly string[]): Policy {
  const known = new Map<unknown, Policy>(Object.entries(POLICIES));
  return known.get(named) ?? { targetModules: named, norms: false };
}
