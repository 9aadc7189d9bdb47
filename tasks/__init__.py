"""The domain of rawmill. Nothing in here imports prefect, dvc or flows."""
