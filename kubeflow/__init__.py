"""Deployment to Kubeflow Pipelines. Import it by this full name only: plain `kubeflow` is an SDK's name."""
