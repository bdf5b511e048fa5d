"""Every text the bot says or sends to a model, as files a prompt author edits."""
