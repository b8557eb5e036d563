"""What an audit leaves behind: its sentences, its page, and findings for annotation tools."""
