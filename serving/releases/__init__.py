"""Which version is live: commands that change models.config, wait until the servers answer, and write down what was done."""
