"""What the labels are worth: `validate` checks their form, `audit` measures what they say."""
