"""`gitops_ml.save_model`: writes a whole model artifact from a training script, and rehearses the artifact."""
