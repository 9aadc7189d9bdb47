"""Synthesis of labelled images of any size: autoencoder, denoiser, random-patch sampler, decode."""
