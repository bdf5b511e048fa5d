"""微信客服 over the WeCom API: callbacks in, kf messages out."""
