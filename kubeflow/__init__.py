"""Deployment of the pipeline to Kubeflow Pipelines. Import it by this full name only: `kubeflow` is an SDK's."""
