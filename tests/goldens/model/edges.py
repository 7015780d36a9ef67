"""More configs, in the two layouts of families.py: what the goldens of the families leave out of
attention and routing.
"""

from families import DEEPSEEK, LLAMA, SILU

CLASSIC = {
    # A window shorter than the prompt in every layer, and fused projections with grouped queries.
    "phi3-window": SILU
    | dict(
        model_type="phi3",
        original_max_position_embeddings=128,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        rope_scaling=None,
        sliding_window=6,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        tie_word_embeddings=False,
    ),
    # Seven heads on one: no number of heads is even, nor a power of two.
    "qwen2-odd": SILU
    | dict(
        model_type="qwen2",
        hidden_size=42,
        num_hidden_layers=2,
        num_attention_heads=7,
        num_key_value_heads=1,
        intermediate_size=50,
        rms_norm_eps=1e-6,
        rope_theta=1000000.0,
        use_sliding_window=False,
        sliding_window=None,
        max_window_layers=2,
        tie_word_embeddings=True,
    ),
    # Nine heads on three, and odd widths wherever they may be: of the model and of the feed-forward.
    "llama-odd": LLAMA
    | dict(
        hidden_size=27,
        num_hidden_layers=2,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=10,
        intermediate_size=45,
        rope_theta=10000.0,
        rope_scaling=None,
        tie_word_embeddings=False,
    ),
    # Eight heads on each of two: with one key head any order of the query heads would do.
    "qwen3-gqa8": SILU
    | dict(
        model_type="qwen3",
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=16,
        num_key_value_heads=2,
        head_dim=6,
        intermediate_size=48,
        rms_norm_eps=1e-6,
        attention_bias=False,
        rope_theta=1000000.0,
        rope_scaling=None,
        use_sliding_window=False,
        sliding_window=None,
        max_window_layers=2,
        tie_word_embeddings=True,
    ),
    # Three of the four experts of one group, of whose biased scores about half are negative.
    "deepseek_v3-negative": DEEPSEEK
    | dict(
        model_type="deepseek_v3",
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=3,
        q_lora_rank=16,
        kv_lora_rank=12,
        qk_nope_head_dim=8,
        qk_rope_head_dim=4,
        v_head_dim=8,
        intermediate_size=48,
        first_k_dense_replace=1,
        moe_layer_freq=1,
        moe_intermediate_size=8,
        n_routed_experts=8,
        n_shared_experts=1,
        num_experts_per_tok=3,
        num_nextn_predict_layers=0,
        n_group=2,
        topk_group=1,
        topk_method="noaux_tc",
        scoring_func="sigmoid",
        norm_topk_prob=True,
        routed_scaling_factor=2.5,
        rope_theta=10000,
        rope_scaling=None,
    ),
}

V5 = {
    # Pairs are the halves of a head, as in other families, not adjacent elements.
    "deepseek_v3-halves": DEEPSEEK
    | dict(
        model_type="deepseek_v3",
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=3,
        q_lora_rank=16,
        kv_lora_rank=12,
        qk_nope_head_dim=4,
        qk_rope_head_dim=8,
        v_head_dim=8,
        intermediate_size=48,
        first_k_dense_replace=1,
        moe_intermediate_size=8,
        n_routed_experts=10,
        n_shared_experts=1,
        num_experts_per_tok=2,
        num_nextn_predict_layers=0,
        n_group=2,
        topk_group=1,
        norm_topk_prob=True,
        routed_scaling_factor=2.5,
        rope_interleave=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
}

# The mean of the routers' correction biases, where it is not 0. A sigmoid is 0.5 on average.
ROUTER_BIAS = {"deepseek_v3-negative": -0.75}
