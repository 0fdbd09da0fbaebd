"""Images, latents and bundles that a command reads.

Begin with `registry`, which loads a data set by its name; `user_files` finds data sets that the user brings,
`own` reads their images, `vectors` their features; `latent_files` and `bundles` read what is shipped or was trained.
"""
