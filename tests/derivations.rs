//! The checks of the notes: one module for each chapter, one file for each section.
//!
//! The section `kl-gaussian-standard` of docs/kl.md is checked by tests/kl/kl_gaussian_standard.rs. In each file the
//! tests stand in this order: against formulas written out by hand, against finite differences, against another way
//! to the same number, statistics, limits.

mod common {
    pub mod arrays;
    pub mod comparing;
    pub mod linear_algebra;
    pub mod panics;
    pub mod quadrature;
    pub mod random;
    pub mod reporting;
    pub mod statistics;
}

mod background {
    mod bayes_rule;
    mod evidence;
    mod jensen_gap;
    mod likelihood_is_not_a_density;
    mod log_derivative;
    mod monte_carlo_expectation;
}

mod variational {
    mod cavi_gaussian;
    mod elbo_from_importance_weights;
    mod elbo_from_jensen;
    mod elbo_from_kl;
    mod exact_gap;
    mod kl_nonnegative;
    mod mean_field_factor;
    mod optimal_q_and_em;
    mod shared {
        pub mod linear_models;
        pub mod tables;
    }
}

mod kl {
    mod fisher_information;
    mod forward_kl_moment_matching;
    mod kl_categorical;
    mod kl_chain_rule;
    mod kl_gaussian_full;
    mod kl_gaussian_standard;
    mod mean_field_variance;
    mod mode_covering_mode_seeking;
    mod reverse_kl_gradient;
    mod shared;
}

mod gradients {
    mod activation_derivatives;
    mod adam;
    mod broadcast_adjoint;
    mod gradient_variance;
    mod logsumexp_softmax;
    mod matmul_adjoint;
    mod reparameterisation;
    mod score_function_estimator;
    mod sgvb_estimators;
    mod shared;
    mod sticking_the_landing;
    mod stop_gradient_and_selection;
    mod vjp_chain_rule;
}

mod vae {
    mod amortisation_gap;
    mod bernoulli_logits;
    mod elbo_surgery;
    mod gaussian_likelihood;
    mod linear_vae_gap;
    mod loss_scaling;
    mod minibatch_objective;
    mod posterior_collapse;
    mod ppca_maximum_likelihood;
    mod shared {
        pub mod linear_models;
        pub mod linear_vae;
        pub mod networks;
    }
    mod vae_elbo;
}

mod autoencoders {
    mod autoencoder;
    mod beta_tempers;
    mod beta_vae;
    mod contractive;
    mod denoising;
    mod denoising_is_score_matching;
    mod denoising_to_contractive;
    mod k_sparse;
    mod linear_autoencoder_is_pca;
    mod shared;
    mod sparse;
    mod td_vae_jumpy;
    mod td_vae_one_step;
    mod vq_bound;
    mod vq_ema;
    mod vq_straight_through;
    mod vq_vae_2;
}
